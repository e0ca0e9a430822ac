//! Socket buffers that hold a burst.
#![allow(unsafe_code)] // One libc call that socket2 does not offer.

use socket2::Socket;

/// What we ask for, in bytes. One 1 MiB frame costs some 2.3 MiB of a receive buffer, since the kernel counts its own
/// bookkeeping too, and several frames may arrive while the thread is busy.
const WANTED: [usize; 3] = [8 << 20, 4 << 20, 2 << 20];

/// Enlarges both buffers as far as the system allows: beyond its limit (`net.core.rmem_max`) when privileged, up to it otherwise.
pub(super) fn enlarge(socket: &Socket) {
    if !force(socket, Direction::Receive, WANTED[0])
        && !WANTED.iter().any(|&size| socket.set_recv_buffer_size(size).is_ok())
    {
        tracing::debug!("the receive buffer keeps its default size");
    }
    if !force(socket, Direction::Send, WANTED[0])
        && !WANTED.iter().any(|&size| socket.set_send_buffer_size(size).is_ok())
    {
        tracing::debug!("the send buffer keeps its default size");
    }
    tracing::debug!(
        recv = socket.recv_buffer_size().ok(),
        send = socket.send_buffer_size().ok(),
        "socket buffers"
    );
}

#[derive(Clone, Copy)]
enum Direction {
    Receive,
    Send,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn force(socket: &Socket, direction: Direction, bytes: usize) -> bool {
    use std::os::fd::AsRawFd;

    let option = match direction {
        Direction::Receive => libc::SO_RCVBUFFORCE,
        Direction::Send => libc::SO_SNDBUFFORCE,
    };
    let Ok(value) = libc::c_int::try_from(bytes) else { return false };
    // SAFETY: the descriptor is open while `socket` is borrowed; the value is a live c_int and its length is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            (&raw const value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    result == 0
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn force(_socket: &Socket, _direction: Direction, _bytes: usize) -> bool {
    false
}
