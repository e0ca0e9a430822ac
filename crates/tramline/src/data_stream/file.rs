//! Files, read and written on a thread of their own: disks may be slow, and executors must not wait for them.

use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    path::{Component, Path, PathBuf},
};

use bytes::Bytes;
use flate2::{Compression, write::DeflateEncoder};
use tokio::sync::{mpsc, oneshot};
use tramline_core::data_stream::CHUNK_LEN;
use tramline_net::runtime::spawn_thread;

use crate::error::{SaveStreamError, SendStreamError};

/// The contents of a file, piece by piece.
pub(super) struct Reader {
    path: PathBuf,
    /// Its length when it was opened: exactly that much is read.
    pub(super) len: u64,
    pieces: Option<mpsc::Receiver<io::Result<Bytes>>>,
    file: Option<File>,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, SendStreamError> {
        let failed = |error| SendStreamError::File { path: path.to_owned(), error };
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if meta.is_dir() {
            return Err(failed(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory")));
        }
        Ok(Self { path: path.to_owned(), len: meta.len(), pieces: None, file: Some(file) })
    }

    /// Starts to read, perhaps to compress as well.
    pub(super) fn start(&mut self, compress: bool) -> Result<(), SendStreamError> {
        let Some(file) = self.file.take() else { return Ok(()) };
        let (sender, receiver) = mpsc::channel(PIECES);
        let len = self.len;
        let read = move || {
            let result =
                if compress { read_compressed(&file, len, &sender) } else { read_plain(&file, len, &sender) };
            if let Err(error) = result {
                let _ = sender.blocking_send(Err(error));
            }
        };
        spawn_thread("tramline-file", read).map_err(|error| self.failed(error))?;
        self.pieces = Some(receiver);
        Ok(())
    }

    /// The next piece, of any length; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, SendStreamError> {
        let Some(pieces) = &mut self.pieces else { return Ok(None) };
        match pieces.recv().await {
            Some(Ok(piece)) => Ok(Some(piece)),
            Some(Err(error)) => Err(self.failed(error)),
            None => Ok(None),
        }
    }

    fn failed(&self, error: io::Error) -> SendStreamError {
        SendStreamError::File { path: self.path.clone(), error }
    }
}

fn read_plain(file: &File, len: u64, pieces: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    for_pieces(file, len, |piece| Ok(pieces.blocking_send(Ok(Bytes::copy_from_slice(piece))).is_ok()))
}

fn read_compressed(file: &File, len: u64, pieces: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    for_pieces(file, len, |piece| {
        encoder.write_all(piece)?;
        let done = encoder.get_ref().len() / CHUNK_LEN * CHUNK_LEN;
        if done == 0 {
            return Ok(true);
        }
        let rest = encoder.get_mut().split_off(done);
        let ready = std::mem::replace(encoder.get_mut(), rest);
        Ok(pieces.blocking_send(Ok(ready.into())).is_ok())
    })?;
    let _ = pieces.blocking_send(Ok(encoder.finish()?.into()));
    Ok(())
}

/// Gives all pieces of a file to `take`, until that wants no more.
fn for_pieces(mut file: &File, len: u64, mut take: impl FnMut(&[u8]) -> io::Result<bool>) -> io::Result<()> {
    let mut piece = vec![0; 4 * CHUNK_LEN];
    let mut left = len;
    while left > 0 {
        let most = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        match file.read(&mut piece[..most]) {
            Ok(0) => {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the file became shorter while it was sent",
                ));
            }
            Ok(read) => {
                left -= read as u64;
                if !take(&piece[..read])? {
                    return Ok(());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A file that is written while its contents come.
pub(super) struct Writer {
    path: PathBuf,
    pieces: mpsc::Sender<Bytes>,
    done: oneshot::Receiver<io::Result<()>>,
}

impl Writer {
    pub(super) fn create(path: PathBuf) -> Result<Self, SaveStreamError> {
        let failed = |error| SaveStreamError::File { path: path.clone(), error };
        let mut file = File::create(&path).map_err(failed)?;
        let (pieces, mut receiver) = mpsc::channel::<Bytes>(PIECES);
        let (reply, done) = oneshot::channel();
        let write = move || {
            let mut result = Ok(());
            while let Some(piece) = receiver.blocking_recv() {
                result = file.write_all(&piece);
                if result.is_err() {
                    break;
                }
            }
            let _ = reply.send(result.and_then(|()| file.flush()));
        };
        spawn_thread("tramline-file", write).map_err(failed)?;
        Ok(Self { path, pieces, done })
    }

    pub(super) async fn write(&mut self, piece: Bytes) -> Result<(), SaveStreamError> {
        // The thread has ended early only because of an error, which `done` tells.
        if self.pieces.send(piece).await.is_ok() { Ok(()) } else { self.end().await }
    }

    pub(super) async fn finish(mut self) -> Result<(), SaveStreamError> {
        // Without a sender the thread comes to its end.
        self.pieces = mpsc::channel(1).0;
        self.end().await
    }

    async fn end(&mut self) -> Result<(), SaveStreamError> {
        let result =
            (&mut self.done).await.unwrap_or_else(|_| Err(io::Error::other("the writing thread is gone")));
        result.map_err(|error| SaveStreamError::File { path: self.path.clone(), error })
    }
}

/// Where a file called `name` goes: only into `directory` itself.
pub(super) fn path_in(directory: &Path, name: &str) -> Result<PathBuf, SaveStreamError> {
    let mut parts = Path::new(name).components();
    let is_plain =
        matches!(parts.next(), Some(Component::Normal(part)) if part == name) && parts.next().is_none();
    if is_plain && !name.contains(['\\', '\0']) {
        Ok(directory.join(name))
    } else {
        Err(SaveStreamError::Name { name: name.to_owned() })
    }
}

/// Pieces that wait between a file and its stream.
const PIECES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_never_leads_out_of_its_directory() {
        let directory = Path::new("/inbox");
        assert_eq!(path_in(directory, "scan.ply").expect("plain"), Path::new("/inbox/scan.ply"));
        for name in ["", ".", "..", "../x", "/etc/passwd", "a/b", "a/", "a\\b", "x\0y"] {
            assert!(matches!(path_in(directory, name), Err(SaveStreamError::Name { .. })), "{name:?}");
        }
    }
}
