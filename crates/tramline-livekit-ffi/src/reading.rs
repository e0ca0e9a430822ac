//! Streams that others send, read by the wrapper: little by little, whole, or into a file. Each way takes the reader's handle.

use std::{collections::BTreeMap, env, path::PathBuf, sync::Arc};

use tramline::{ByteStreamReader, TextStreamReader};

use crate::{
    client::{Client, handles},
    convert::{entries, stream_error},
    proto::{
        self, byte_stream_reader_event::Detail as Bytes, ffi_event::Message as Event,
        text_stream_reader_event::Detail as Text,
    },
};

const NO_READER: &str = "the handle is no reader's: the stream was read already, perhaps";

/// What comes is told as it comes, from now on.
pub(crate) fn read_text(
    client: &Arc<Client>,
    request: &proto::TextStreamReaderReadIncrementalRequest,
) -> proto::TextStreamReaderReadIncrementalResponse {
    let reader_handle = request.reader_handle;
    let tell = {
        let client = Arc::clone(client);
        move |detail| {
            let event = proto::TextStreamReaderEvent { reader_handle, detail: Some(detail) };
            client.emit(Event::TextStreamReaderEvent(event));
        }
    };
    let end = |error, attributes: BTreeMap<String, String>| {
        let attributes = entries!(attributes, text_stream_reader_eos);
        Text::Eos(proto::TextStreamReaderEos { error, attributes })
    };
    let reader = handles().take_text_reader(reader_handle);
    client.spawn(async move {
        let Some(mut reader) = reader else {
            return tell(end(Some(stream_error(NO_READER)), BTreeMap::new()));
        };
        let mut error = None;
        while let Some(part) = reader.next().await {
            match part {
                Ok(content) => tell(Text::ChunkReceived(proto::TextStreamReaderChunkReceived { content })),
                Err(why) => error = Some(stream_error(why)),
            }
        }
        tell(end(error, reader.info().attributes()));
    });
    proto::TextStreamReaderReadIncrementalResponse {}
}

/// What comes is told as it comes, from now on.
pub(crate) fn read_bytes(
    client: &Arc<Client>,
    request: &proto::ByteStreamReaderReadIncrementalRequest,
) -> proto::ByteStreamReaderReadIncrementalResponse {
    let reader_handle = request.reader_handle;
    let tell = {
        let client = Arc::clone(client);
        move |detail| {
            let event = proto::ByteStreamReaderEvent { reader_handle, detail: Some(detail) };
            client.emit(Event::ByteStreamReaderEvent(event));
        }
    };
    let end = |error, attributes: BTreeMap<String, String>| {
        let attributes = entries!(attributes, byte_stream_reader_eos);
        Bytes::Eos(proto::ByteStreamReaderEos { error, attributes })
    };
    let reader = handles().take_byte_reader(reader_handle);
    client.spawn(async move {
        let Some(mut reader) = reader else {
            return tell(end(Some(stream_error(NO_READER)), BTreeMap::new()));
        };
        let mut error = None;
        while let Some(part) = reader.next().await {
            match part {
                Ok(content) => tell(Bytes::ChunkReceived(proto::ByteStreamReaderChunkReceived { content })),
                Err(why) => error = Some(stream_error(why)),
            }
        }
        tell(end(error, reader.info().attributes()));
    });
    proto::ByteStreamReaderReadIncrementalResponse {}
}

pub(crate) fn read_all_text(
    client: &Arc<Client>,
    request: &proto::TextStreamReaderReadAllRequest,
) -> proto::TextStreamReaderReadAllResponse {
    use proto::text_stream_reader_read_all_callback::Result as Outcome;
    let async_id = client.async_id(request.request_async_id);
    let reader = handles().take_text_reader(request.reader_handle);
    read(client, reader, TextStreamReader::read_all, move |outcome| {
        let result = Some(outcome.map_or_else(Outcome::Error, Outcome::Content));
        Event::TextStreamReaderReadAll(proto::TextStreamReaderReadAllCallback { async_id, result })
    });
    proto::TextStreamReaderReadAllResponse { async_id }
}

pub(crate) fn read_all_bytes(
    client: &Arc<Client>,
    request: &proto::ByteStreamReaderReadAllRequest,
) -> proto::ByteStreamReaderReadAllResponse {
    use proto::byte_stream_reader_read_all_callback::Result as Outcome;
    let async_id = client.async_id(request.request_async_id);
    let reader = handles().take_byte_reader(request.reader_handle);
    read(client, reader, ByteStreamReader::read_all, move |outcome| {
        let result = Some(outcome.map_or_else(Outcome::Error, Outcome::Content));
        Event::ByteStreamReaderReadAll(proto::ByteStreamReaderReadAllCallback { async_id, result })
    });
    proto::ByteStreamReaderReadAllResponse { async_id }
}

/// Without a directory it goes where the system keeps files for a while.
pub(crate) fn save(
    client: &Arc<Client>,
    request: proto::ByteStreamReaderWriteToFileRequest,
) -> proto::ByteStreamReaderWriteToFileResponse {
    use proto::byte_stream_reader_write_to_file_callback::Result as Outcome;
    let async_id = client.async_id(request.request_async_id);
    let reader = handles().take_byte_reader(request.reader_handle);
    let directory = request.directory.map_or_else(env::temp_dir, PathBuf::from);
    let name = request.name_override;
    read(
        client,
        reader,
        async move |reader: ByteStreamReader| reader.write_to_file(directory, name.as_deref()).await,
        move |outcome| {
            let path = outcome.map(|path| path.to_string_lossy().into_owned());
            let result = Some(path.map_or_else(Outcome::Error, Outcome::FilePath));
            let told = proto::ByteStreamReaderWriteToFileCallback { async_id, result };
            Event::ByteStreamReaderWriteToFile(told)
        },
    );
    proto::ByteStreamReaderWriteToFileResponse { async_id }
}

/// Has a reader do something, and tells how that went.
fn read<Reader, T, E, Act, Doing, Tell>(client: &Arc<Client>, reader: Option<Reader>, act: Act, tell: Tell)
where
    Reader: Send + 'static,
    E: std::fmt::Display,
    Act: FnOnce(Reader) -> Doing + Send + 'static,
    Doing: Future<Output = Result<T, E>> + Send,
    Tell: FnOnce(Result<T, proto::StreamError>) -> Event + Send + 'static,
{
    let later = Arc::clone(client);
    client.spawn(async move {
        let outcome = match reader {
            Some(reader) => act(reader).await.map_err(stream_error),
            None => Err(stream_error(NO_READER)),
        };
        later.emit(tell(outcome));
    });
}
