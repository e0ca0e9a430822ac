//! Sans-IO machines for data tracks: publish, subscribe, reassembly, the live queue, session, room.
