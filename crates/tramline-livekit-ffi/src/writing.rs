//! Streams that the wrapper sends, whole or little by little.

use std::sync::Arc;

use tramline::{SendStreamError, StreamByteOptions, StreamTextOptions, TextOperation};

use crate::{
    client::{Client, handles},
    convert::{self, map_of, stream_error},
    handle::Object,
    participant::later,
    proto::{self, ffi_event::Message as Event},
};

const NO_WRITER: &str = "the handle is no writer's: it was closed, perhaps";

fn text_options(request: proto::StreamTextOptions) -> StreamTextOptions {
    use proto::text_stream_info::OperationType;
    let operation = match request.operation_type() {
        OperationType::Create => TextOperation::Create,
        OperationType::Update => TextOperation::Update,
        OperationType::Delete => TextOperation::Delete,
        OperationType::Reaction => TextOperation::Reaction,
    };
    StreamTextOptions {
        topic: request.topic,
        attributes: map_of!(request.attributes),
        destination_identities: convert::identities(request.destination_identities),
        id: request.id,
        operation,
        version: request.version.unwrap_or_default(),
        reply_to_stream_id: request.reply_to_stream_id,
        attached_stream_ids: request.attached_stream_ids,
        generated: request.generated.unwrap_or_default(),
        total_length: None,
        compress: request.compress,
        sender_identity: convert::identity(request.sender_identity),
    }
}

fn byte_options(request: proto::StreamByteOptions) -> StreamByteOptions {
    StreamByteOptions {
        topic: request.topic,
        attributes: map_of!(request.attributes),
        destination_identities: convert::identities(request.destination_identities),
        id: request.id,
        mime_type: request.mime_type,
        name: request.name,
        total_length: request.total_length,
        compress: request.compress,
        sender_identity: convert::identity(request.sender_identity),
    }
}

pub(crate) fn send_text(
    client: &Arc<Client>,
    request: proto::StreamSendTextRequest,
) -> proto::StreamSendTextResponse {
    use proto::stream_send_text_callback::Result as Outcome;
    let async_id = client.async_id(request.request_async_id);
    let (text, options) = (request.text, text_options(request.options));
    later(
        client,
        request.local_participant_handle,
        async move |participant| participant.send_text(text, options).await,
        move |outcome| {
            let result = match outcome {
                Ok(info) => Outcome::Info(convert::text_info(&info)),
                Err(error) => Outcome::Error(stream_error(error)),
            };
            Event::SendText(proto::StreamSendTextCallback { async_id, result: Some(result) })
        },
    );
    proto::StreamSendTextResponse { async_id }
}

pub(crate) fn send_bytes(
    client: &Arc<Client>,
    request: proto::StreamSendBytesRequest,
) -> proto::StreamSendBytesResponse {
    use proto::stream_send_bytes_callback::Result as Outcome;
    let async_id = client.async_id(request.request_async_id);
    let (bytes, options) = (request.bytes, byte_options(request.options));
    later(
        client,
        request.local_participant_handle,
        async move |participant| participant.send_bytes(bytes, options).await,
        move |outcome| {
            let result = match outcome {
                Ok(info) => Outcome::Info(convert::byte_info(&info)),
                Err(error) => Outcome::Error(stream_error(error)),
            };
            Event::SendBytes(proto::StreamSendBytesCallback { async_id, result: Some(result) })
        },
    );
    proto::StreamSendBytesResponse { async_id }
}

pub(crate) fn send_file(
    client: &Arc<Client>,
    request: proto::StreamSendFileRequest,
) -> proto::StreamSendFileResponse {
    use proto::stream_send_file_callback::Result as Outcome;
    let async_id = client.async_id(request.request_async_id);
    let (path, options) = (request.file_path, byte_options(request.options));
    later(
        client,
        request.local_participant_handle,
        async move |participant| participant.send_file(path, options).await,
        move |outcome| {
            let result = match outcome {
                Ok(info) => Outcome::Info(convert::byte_info(&info)),
                Err(error) => Outcome::Error(stream_error(error)),
            };
            Event::SendFile(proto::StreamSendFileCallback { async_id, result: Some(result) })
        },
    );
    proto::StreamSendFileResponse { async_id }
}

pub(crate) fn open_text(
    client: &Arc<Client>,
    request: proto::TextStreamOpenRequest,
) -> proto::TextStreamOpenResponse {
    use proto::text_stream_open_callback::Result as Outcome;
    let async_id = client.async_id(request.request_async_id);
    let options = text_options(request.options);
    later(
        client,
        request.local_participant_handle,
        async move |participant| participant.stream_text(options).await,
        move |outcome| {
            let result = match outcome {
                Ok(writer) => {
                    let info = convert::text_info(writer.info());
                    let handle = convert::owned(handles().insert(Object::TextWriter(writer)));
                    Outcome::Writer(proto::OwnedTextStreamWriter { handle, info })
                }
                Err(error) => Outcome::Error(stream_error(error)),
            };
            Event::TextStreamOpen(proto::TextStreamOpenCallback { async_id, result: Some(result) })
        },
    );
    proto::TextStreamOpenResponse { async_id }
}

pub(crate) fn open_bytes(
    client: &Arc<Client>,
    request: proto::ByteStreamOpenRequest,
) -> proto::ByteStreamOpenResponse {
    use proto::byte_stream_open_callback::Result as Outcome;
    let async_id = client.async_id(request.request_async_id);
    let options = byte_options(request.options);
    later(
        client,
        request.local_participant_handle,
        async move |participant| participant.stream_bytes(options).await,
        move |outcome| {
            let result = match outcome {
                Ok(writer) => {
                    let info = convert::byte_info(writer.info());
                    let handle = convert::owned(handles().insert(Object::ByteWriter(writer)));
                    Outcome::Writer(proto::OwnedByteStreamWriter { handle, info })
                }
                Err(error) => Outcome::Error(stream_error(error)),
            };
            Event::ByteStreamOpen(proto::ByteStreamOpenCallback { async_id, result: Some(result) })
        },
    );
    proto::ByteStreamOpenResponse { async_id }
}

pub(crate) fn write_text(
    client: &Arc<Client>,
    request: proto::TextStreamWriterWriteRequest,
) -> proto::TextStreamWriterWriteResponse {
    let async_id = client.async_id(request.request_async_id);
    let writer = handles().text_writer(request.writer_handle);
    let text = request.text;
    with_writer(
        client,
        writer,
        async move |writer| writer.write(&text).await,
        move |error| Event::TextStreamWriterWrite(proto::TextStreamWriterWriteCallback { async_id, error }),
    );
    proto::TextStreamWriterWriteResponse { async_id }
}

pub(crate) fn write_bytes(
    client: &Arc<Client>,
    request: proto::ByteStreamWriterWriteRequest,
) -> proto::ByteStreamWriterWriteResponse {
    let async_id = client.async_id(request.request_async_id);
    let writer = handles().byte_writer(request.writer_handle);
    let bytes = request.bytes;
    with_writer(
        client,
        writer,
        async move |writer| writer.write(&bytes).await,
        move |error| Event::ByteStreamWriterWrite(proto::ByteStreamWriterWriteCallback { async_id, error }),
    );
    proto::ByteStreamWriterWriteResponse { async_id }
}

/// The writer's handle is gone, whatever comes of it.
pub(crate) fn close_text(
    client: &Arc<Client>,
    request: proto::TextStreamWriterCloseRequest,
) -> proto::TextStreamWriterCloseResponse {
    let async_id = client.async_id(request.request_async_id);
    let writer = handles().take_text_writer(request.writer_handle);
    let (reason, attributes) = (request.reason.unwrap_or_default(), map_of!(request.attributes));
    with_writer(
        client,
        writer,
        async move |writer| writer.close_with(&reason, attributes).await,
        move |error| Event::TextStreamWriterClose(proto::TextStreamWriterCloseCallback { async_id, error }),
    );
    proto::TextStreamWriterCloseResponse { async_id }
}

/// The writer's handle is gone, whatever comes of it.
pub(crate) fn close_bytes(
    client: &Arc<Client>,
    request: proto::ByteStreamWriterCloseRequest,
) -> proto::ByteStreamWriterCloseResponse {
    let async_id = client.async_id(request.request_async_id);
    let writer = handles().take_byte_writer(request.writer_handle);
    let (reason, attributes) = (request.reason.unwrap_or_default(), map_of!(request.attributes));
    with_writer(
        client,
        writer,
        async move |writer| writer.close_with(&reason, attributes).await,
        move |error| Event::ByteStreamWriterClose(proto::ByteStreamWriterCloseCallback { async_id, error }),
    );
    proto::ByteStreamWriterCloseResponse { async_id }
}

/// Has a writer do something, and tells how that went.
fn with_writer<Writer, Act, Doing, Tell>(client: &Arc<Client>, writer: Option<Writer>, act: Act, tell: Tell)
where
    Writer: Send + 'static,
    Act: FnOnce(Writer) -> Doing + Send + 'static,
    Doing: Future<Output = Result<(), SendStreamError>> + Send,
    Tell: FnOnce(Option<proto::StreamError>) -> Event + Send + 'static,
{
    let later = Arc::clone(client);
    client.spawn(async move {
        let error = match writer {
            Some(writer) => act(writer).await.err().map(stream_error),
            None => Some(stream_error(NO_WRITER)),
        };
        later.emit(tell(error));
    });
}
