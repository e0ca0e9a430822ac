//! Packets, calls and streams below any wrapper: what depends on who asks, and what wrappers never do.

use super::*;

#[test]
fn a_wrapper_that_makes_its_own_streams_gets_their_packets_and_owes_nothing() {
    let library = Library::start_as(c"cpp");
    let server = server();
    let (speaking, speaker) = library.connect(&server, "speaker");
    let (listening, _) = library.connect(&server, "listener");
    library.ready(speaking);
    library.ready(listening);
    let in_room = |pick: &dyn Fn(&InRoom) -> bool| {
        library.wait(|event| match event {
            Event::RoomEvent(event) if event.room_handle == listening => {
                event.message.clone().filter(|event| pick(event))
            }
            _ => None,
        })
    };

    let payload = b"for nobody to drop";
    library.answered(|id| {
        Request::PublishData(proto::PublishDataRequest {
            local_participant_handle: speaker,
            data_ptr: payload.as_ptr() as u64,
            data_len: payload.len() as u64,
            reliable: true,
            topic: Some("topic".to_owned()),
            request_async_id: Some(id),
            ..Default::default()
        })
    });
    let InRoom::DataPacketReceived(packet) = in_room(&|event| matches!(event, InRoom::DataPacketReceived(_)))
    else {
        unreachable!("it was picked");
    };
    let Some(proto::data_packet_received::Value::User(user)) = packet.value else { panic!("no user packet") };
    assert_eq!((user.topic.as_deref(), user.data.data.data_len), (Some("topic"), 18));

    let text = proto::data_stream::TextHeader { operation_type: 1, version: Some(3), ..Default::default() };
    let header = proto::data_stream::Header {
        stream_id: "stream".to_owned(),
        topic: "topic".to_owned(),
        mime_type: "text/plain".to_owned(),
        total_length: Some(4),
        content_header: Some(proto::data_stream::header::ContentHeader::TextHeader(text)),
        ..Default::default()
    };
    let chunk = proto::data_stream::Chunk {
        stream_id: "stream".to_owned(),
        content: b"text".as_slice().into(),
        ..Default::default()
    };
    let trailer = proto::data_stream::Trailer { stream_id: "stream".to_owned(), ..Default::default() };
    library.answered(|id| {
        Request::SendStreamHeader(proto::SendStreamHeaderRequest {
            local_participant_handle: speaker,
            header: header.clone(),
            request_async_id: Some(id),
            ..Default::default()
        })
    });
    library.answered(|id| {
        Request::SendStreamChunk(proto::SendStreamChunkRequest {
            local_participant_handle: speaker,
            chunk: chunk.clone(),
            sender_identity: "speaker".to_owned(),
            request_async_id: Some(id),
            ..Default::default()
        })
    });
    library.answered(|id| {
        Request::SendStreamTrailer(proto::SendStreamTrailerRequest {
            local_participant_handle: speaker,
            trailer,
            request_async_id: Some(id),
            ..Default::default()
        })
    });
    let InRoom::StreamHeaderReceived(seen) =
        in_room(&|event| matches!(event, InRoom::StreamHeaderReceived(_)))
    else {
        unreachable!("it was picked");
    };
    assert_eq!(seen.participant_identity, "speaker");
    assert_eq!((seen.header.topic.as_str(), seen.header.total_length), ("topic", Some(4)));
    let Some(proto::data_stream::header::ContentHeader::TextHeader(seen)) = seen.header.content_header else {
        panic!("no text");
    };
    assert_eq!((seen.operation_type, seen.version), (1, Some(3)));
    let InRoom::StreamChunkReceived(seen) = in_room(&|event| matches!(event, InRoom::StreamChunkReceived(_)))
    else {
        unreachable!("it was picked");
    };
    assert_eq!(seen.chunk.content, chunk.content);
    let InRoom::TextStreamOpened(opened) = in_room(&|event| matches!(event, InRoom::TextStreamOpened(_)))
    else {
        unreachable!("it was picked");
    };
    // A later event: the callbacks of those before have returned.
    in_room(&|event| matches!(event, InRoom::StreamTrailerReceived(_)));
    assert!(!livekit_ffi_drop_handle(user.data.handle.id), "the buffer is gone with its callback");
    assert!(!livekit_ffi_drop_handle(opened.reader.handle.id), "so is the reader");
}

#[test]
fn data_that_is_nowhere_is_an_error_and_handles_are_taken_once() {
    let library = Library::start();
    let server = server();
    let (room, participant) = library.connect(&server, "speaker");
    library.ready(room);
    let error = library.answered_with(|id| {
        Request::PublishData(proto::PublishDataRequest {
            local_participant_handle: participant,
            data_len: 5,
            request_async_id: Some(id),
            ..Default::default()
        })
    });
    assert!(error.is_some_and(|error| error.contains("nowhere")));

    let id = library.next_id();
    library.request(Request::TextStreamOpen(proto::TextStreamOpenRequest {
        local_participant_handle: participant,
        request_async_id: Some(id),
        ..Default::default()
    }));
    let writer = library.wait(|event| match event {
        Event::TextStreamOpen(told) if told.async_id == id => match &told.result {
            Some(proto::text_stream_open_callback::Result::Writer(writer)) => Some(writer.handle.id),
            _ => None,
        },
        _ => None,
    });
    let close = |id| {
        Request::TextStreamClose(proto::TextStreamWriterCloseRequest {
            writer_handle: writer,
            request_async_id: Some(id),
            ..Default::default()
        })
    };
    assert_eq!(library.answered_with(close), None);
    assert!(!livekit_ffi_drop_handle(writer), "closing takes the handle");
    assert!(library.answered_with(close).is_some(), "and so it cannot be closed again");
    for reader in [writer, room, 0] {
        let error = library.answered_with(|id| {
            Request::TextReadAll(proto::TextStreamReaderReadAllRequest {
                reader_handle: reader,
                request_async_id: Some(id),
            })
        });
        assert!(error.is_some_and(|error| error.contains("no reader's")));
    }
    let answer = library.request(Request::RpcMethodInvocationResponse(Default::default()));
    assert!(matches!(answer, Response::RpcMethodInvocationResponse(answer) if answer.error.is_some()));
}

impl Library {
    fn next_id(&self) -> u64 {
        static LAST: AtomicU64 = AtomicU64::new(1_000_000);
        LAST.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes a request that is to go well, and waits until it has.
    fn answered(&self, request: impl FnOnce(u64) -> Request) {
        assert_eq!(self.answered_with(request), None);
    }

    /// Makes a request and waits for its answer: the error in it.
    fn answered_with(&self, request: impl FnOnce(u64) -> Request) -> Option<String> {
        let id = self.next_id();
        self.request(request(id));
        let described =
            |error: &Option<proto::StreamError>| error.as_ref().map(|error| error.description.clone());
        self.wait(|event| match event {
            Event::PublishData(told) if told.async_id == id => Some(told.error.clone()),
            Event::SendStreamHeader(told) if told.async_id == id => Some(told.error.clone()),
            Event::SendStreamChunk(told) if told.async_id == id => Some(told.error.clone()),
            Event::SendStreamTrailer(told) if told.async_id == id => Some(told.error.clone()),
            Event::TextStreamWriterClose(told) if told.async_id == id => Some(described(&told.error)),
            Event::TextStreamReaderReadAll(told) if told.async_id == id => Some(match &told.result {
                Some(proto::text_stream_reader_read_all_callback::Result::Error(error)) => {
                    Some(error.description.clone())
                }
                _ => None,
            }),
            _ => None,
        })
    }
}
