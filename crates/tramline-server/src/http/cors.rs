//! Pages of any origin may use the server: the token is what counts, and no cookies are involved.

use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};

/// How long a browser may remember the answer to a preflight, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// The answer to a preflight: yes to what was asked. `None` for all other requests.
pub(super) fn preflight(parts: &Parts) -> Option<Response> {
    let origin = parts.headers.get(header::ORIGIN)?;
    let method = parts.headers.get(header::ACCESS_CONTROL_REQUEST_METHOD)?;
    if parts.method != Method::OPTIONS {
        return None;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    if let Some(asked) = parts.headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    let vary = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers";
    headers.insert(header::VARY, HeaderValue::from_static(vary));
    Some(response)
}

/// Marks an answer as readable by the page that asked. Answers of the validate paths are readable by any.
pub(super) fn apply(response: &mut Response, origin: Option<HeaderValue>, is_validation: bool) {
    let headers = response.headers_mut();
    if is_validation {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    } else if let Some(origin) = &origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    if origin.is_some() {
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANY);
    }
    headers.insert(header::VARY, HeaderValue::from_static("Origin"));
}
