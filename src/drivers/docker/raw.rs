//! Requests that the typed client cannot make: answers as Docker wrote them, and the status of an answer.
//!
//! The typed client drops every field that it does not know, which a record of the engine's state and what is made from
//! one must not, and it takes 304 (nothing to do) for 204 (done).

use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use super::engine::{Engine, PATIENCE, bounded};
use super::errors::EngineError;

impl Engine {
    /// The JSON at `path`, such as `/containers/<id>/json`; `None` when Docker knows nothing of that name.
    pub async fn get_json(&self, path: &str) -> Result<Option<Value>, EngineError> {
        let (status, body) = self.request("GET", path, None, Some(PATIENCE)).await?;
        match status {
            200..300 => serde_json::from_slice(&body)
                .map(Some)
                .map_err(|error| EngineError::Garbled(error.to_string())),
            404 => Ok(None),
            _ => Err(refused(status, &body)),
        }
    }

    /// Posts nothing to `path`; the status, if it is one of `expected`. Without a `limit` it waits as long as it takes.
    pub async fn post(
        &self,
        path: &str,
        limit: Option<Duration>,
        expected: &[u16],
    ) -> Result<u16, EngineError> {
        let (status, body) = self.request("POST", path, None, limit).await?;
        if expected.contains(&status) {
            Ok(status)
        } else {
            Err(refused(status, &body))
        }
    }

    /// Posts `value` to `path`; what Docker answers, `null` when that is nothing.
    pub async fn post_json(&self, path: &str, value: &Value) -> Result<Value, EngineError> {
        let (status, body) = self
            .request("POST", path, Some(value), Some(PATIENCE))
            .await?;
        match status {
            200..300 if body.is_empty() => Ok(Value::Null),
            200..300 => serde_json::from_slice(&body)
                .map_err(|error| EngineError::Garbled(error.to_string())),
            _ => Err(refused(status, &body)),
        }
    }

    pub async fn delete(&self, path: &str) -> Result<(), EngineError> {
        let (status, body) = self.request("DELETE", path, None, Some(PATIENCE)).await?;
        match status {
            200..300 => Ok(()),
            _ => Err(refused(status, &body)),
        }
    }

    async fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        limit: Option<Duration>,
    ) -> Result<(u16, Bytes), EngineError> {
        let exchange = self.exchange(method, path, body);
        match limit {
            Some(limit) => bounded(limit, exchange).await,
            None => exchange.await,
        }
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Bytes), EngineError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|error| EngineError::Lost(error.to_string()))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // It ends when `sender` is dropped; what it says then is said by the request as well.
        tokio::spawn(connection);
        let mut request = hyper::Request::builder()
            .method(method)
            .uri(format!("/v{}{path}", self.api))
            .header("host", "docker");
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| EngineError::Garbled(error.to_string()))?;
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await?.to_bytes();
        Ok((status, body))
    }
}

/// A name as a part of a path: networks may have blanks and more in theirs.
pub fn encoded(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

fn refused(status: u16, body: &[u8]) -> EngineError {
    let message = serde_json::from_slice::<Value>(body)
        .ok()
        .and_then(|value| Some(value.get("message")?.as_str()?.to_owned()))
        .unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
    EngineError::Refused { status, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_stay_one_part_of_the_path() {
        assert_eq!(encoded("my_net.1-a"), "my_net.1-a");
        assert_eq!(encoded("a b/ü"), "a%20b%2F%C3%BC");
    }
}
