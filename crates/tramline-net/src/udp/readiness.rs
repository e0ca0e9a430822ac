//! When a UDP socket is worth asking.
//!
//! The reactor of tokio's own sockets reports reading and writing alike. Here that would wake the loop once more for
//! every datagram sent, when the receiver has taken it out of the send buffer, to say that there is room where there was
//! room all the time. So the socket is registered for reading, and for writing only while the send buffer is full.
#![allow(unsafe_code)] // One registration with the reactor.

use std::{
    io,
    net::UdpSocket,
    task::{Context, Poll, ready},
};

use tokio::io::{Interest, unix::AsyncFd};

#[derive(Debug)]
pub(super) struct Readiness {
    reading: AsyncFd<UdpSocket>,
    /// The same socket under a second descriptor, while its send buffer is full.
    writing: Option<AsyncFd<UdpSocket>>,
}

impl Readiness {
    /// Of a socket that does not block. Must be called inside a tokio runtime.
    pub(super) fn new(socket: UdpSocket) -> io::Result<Self> {
        Ok(Self { reading: register(socket, Interest::READABLE)?, writing: None })
    }

    pub(super) fn socket(&self) -> &UdpSocket {
        self.reading.get_ref()
    }

    /// Runs `read` unless it is known that nothing is there (`WouldBlock` then, and when `read` says so).
    pub(super) fn try_read<R>(&self, read: impl FnOnce(&UdpSocket) -> io::Result<R>) -> io::Result<R> {
        self.reading.try_io(Interest::READABLE, read)
    }

    /// Nothing is left to read until the system reports anew.
    pub(super) fn clear_readable(&self) {
        let nothing = io::Error::from(io::ErrorKind::WouldBlock);
        let _ = self.reading.try_io(Interest::READABLE, |_| Err::<(), _>(nothing));
    }

    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.reading.poll_read_ready(cx))?.retain_ready();
        Poll::Ready(Ok(()))
    }

    /// Ready when the send buffer may have room; asked again, only when it has got more since.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let writing = match &mut self.writing {
            Some(writing) => writing,
            none => none.insert(register(self.reading.get_ref().try_clone()?, Interest::WRITABLE)?),
        };
        ready!(writing.poll_write_ready(cx))?.clear_ready();
        Poll::Ready(Ok(()))
    }

    /// Everything has been sent: room is of no interest any more.
    pub(super) fn ignore_writable(&mut self) {
        self.writing = None;
    }
}

fn register(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: A std socket owns its descriptor, answers with the same one as long as it lives, and is moved in whole.
    unsafe { Ok(AsyncFd::register_with_interest(socket, interest)?) }
}
