//! One POST, over TLS where the address says so. Redirections are not followed: what is sent is meant for one address.

use std::net::SocketAddr;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::{Host, Url};

use super::{Refused, ca};
use crate::base::blocking::aside;
use crate::base::secret::Secret;

/// For each address of a host but the last: one network of two may be dead.
const CONNECT: Duration = Duration::from_secs(3);

const AGENT: &str = concat!("kopi-docka/", env!("CARGO_PKG_VERSION"));

/// What is sent.
#[derive(Clone, Debug)]
pub struct Post {
    /// `http` or `https`. A user and a password in it are sent as such.
    pub url: Secret,
    pub headers: Vec<(String, Secret)>,
    pub body: Vec<u8>,
}

/// Sends it; the server has taken it when this returns `Ok`.
pub async fn post(post: &Post, ca_file: Option<&Path>) -> Result<(), Refused> {
    let url = Url::parse(post.url.expose()).map_err(|_| Refused::lasting("it is no URL"))?;
    let request = request(&url, post)?;
    let stream = connect(&url).await?;
    let status = if url.scheme() == "https" {
        let name = server_name(&url)?;
        let connector = TlsConnector::from(Arc::new(trust(ca_file).await?));
        let stream = connector.connect(name, stream).await;
        exchange(stream.map_err(|error| tls_failed(&error))?, request).await?
    } else {
        exchange(stream, request).await?
    };
    judge(status)
}

fn request(url: &Url, post: &Post) -> Result<Request<Full<Bytes>>, Refused> {
    let odd = |_| Refused::lasting("it holds what cannot be sent in a header");
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let host = match (url.host_str(), url.port()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (host, _) => host.unwrap_or_default().to_owned(),
    };
    let mut request = Request::post(target)
        .header(header::HOST, host)
        .header(header::USER_AGENT, AGENT)
        .header(header::CONNECTION, "close")
        .body(Full::new(Bytes::from(post.body.clone())))
        .map_err(|_| Refused::lasting("it is no URL"))?;
    let headers = request.headers_mut();
    if let Some(login) = login(url) {
        let login = HeaderValue::from_str(&login).map_err(|_| odd(()))?;
        headers.insert(header::AUTHORIZATION, login);
    }
    for (name, value) in &post.headers {
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| odd(()))?;
        let value = HeaderValue::from_str(value.expose()).map_err(|_| odd(()))?;
        headers.insert(name, value);
    }
    Ok(request)
}

/// Of a user in the address.
fn login(url: &Url) -> Option<String> {
    use base64::Engine as _;
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decoded = |text: &str| percent_decoded(text);
    let both = format!(
        "{}:{}",
        decoded(url.username()),
        decoded(url.password().unwrap_or_default())
    );
    let encoded = base64::engine::general_purpose::STANDARD.encode(both);
    Some(format!("Basic {encoded}"))
}

/// `%40` is `@`.
pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let code = more.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let code = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = more.get(2..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn connect(url: &Url) -> Result<TcpStream, Refused> {
    let port = url.port_or_known_default().unwrap_or(443);
    let addresses: Vec<SocketAddr> = match url.host() {
        Some(Host::Ipv4(ip)) => vec![(ip, port).into()],
        Some(Host::Ipv6(ip)) => vec![(ip, port).into()],
        Some(Host::Domain(name)) => match lookup_host((name, port)).await {
            Ok(found) => found.collect(),
            Err(error) => {
                return Err(Refused::passing(format!(
                    "the name of its host is not known: {error}"
                )));
            }
        },
        None => Vec::new(),
    };
    let mut failed = "its host has no address".to_owned();
    for (index, address) in addresses.iter().enumerate() {
        let connecting = TcpStream::connect(address);
        let connected = if index + 1 < addresses.len() {
            timeout(CONNECT, connecting).await.ok()
        } else {
            Some(connecting.await)
        };
        match connected {
            Some(Ok(stream)) => return Ok(stream),
            Some(Err(error)) => failed = error.to_string(),
            None => {}
        }
    }
    Err(Refused::passing(format!("no connection: {failed}")))
}

fn server_name(url: &Url) -> Result<ServerName<'static>, Refused> {
    let name = match url.host() {
        Some(Host::Ipv4(ip)) => Ok(ServerName::from(std::net::IpAddr::from(ip))),
        Some(Host::Ipv6(ip)) => Ok(ServerName::from(std::net::IpAddr::from(ip))),
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned()),
        None => ServerName::try_from(String::new()),
    };
    name.map_err(|_| Refused::lasting("the name of its host cannot be in a certificate"))
}

/// The authorities of this host, and those of `ca_file`.
async fn trust(ca_file: Option<&Path>) -> Result<ClientConfig, Refused> {
    let mut roots = RootCertStore::empty();
    let own = aside(|| Ok(rustls_native_certs::load_native_certs().certs));
    roots.add_parsable_certificates(own.await.unwrap_or_default());
    for certificate in ca::read(ca_file).await? {
        let added = roots.add(certificate);
        added.map_err(|error| {
            Refused::lasting(format!("a certificate of `ca_file` is of no use: {error}"))
        })?;
    }
    if roots.is_empty() {
        return Err(Refused::lasting(
            "this host trusts no authority for certificates: install `ca-certificates`, or set `ca_file`",
        ));
    }
    // Named, so that no other crate's choice of one can be a contradiction.
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Refused::lasting(format!("TLS cannot be used: {error}")))?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn tls_failed(error: &std::io::Error) -> Refused {
    // rustls passes its own errors on in one of the system.
    let is_of_certificate = error.kind() == std::io::ErrorKind::InvalidData;
    let why = format!("no encrypted connection: {error}");
    if is_of_certificate {
        Refused::lasting(format!("{why} (`ca_file` names an authority of your own)"))
    } else {
        Refused::passing(why)
    }
}

async fn exchange<S>(stream: S, request: Request<Full<Bytes>>) -> Result<StatusCode, Refused>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let lost = |error: hyper::Error| Refused::passing(format!("the connection was lost: {error}"));
    let shaken = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(lost)?;
    let mut asked = pin!(sender.send_request(request));
    // Polled beside the request, and dropped with it: nothing of it outlives this.
    tokio::select! {
        biased;
        answer = &mut asked => return Ok(answer.map_err(lost)?.status()),
        _ = connection => {}
    }
    // The answer may have come with the end of the connection.
    Ok(asked.await.map_err(lost)?.status())
}

fn judge(status: StatusCode) -> Result<(), Refused> {
    if status.is_success() {
        return Ok(());
    }
    let why = format!("the server answered {status}");
    let may_pass = status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
        );
    if may_pass {
        Err(Refused::passing(why))
    } else if status.is_redirection() {
        Err(Refused::lasting(format!(
            "{why}: set the address that it leads to"
        )))
    } else {
        Err(Refused::lasting(why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(url: &str) -> Request<Full<Bytes>> {
        let post = Post {
            url: Secret::new(url),
            headers: vec![("X-Gotify-Key".to_owned(), Secret::new("abc"))],
            body: b"hello".to_vec(),
        };
        request(&Url::parse(url).unwrap(), &post).unwrap()
    }

    #[test]
    fn a_request_says_what_the_address_says() {
        let request = of("https://me%40x:p%3Aw@host:8443/a/b?rid=1");
        assert_eq!(request.uri(), "/a/b?rid=1");
        let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(header("host"), "host:8443");
        assert_eq!(header("x-gotify-key"), "abc");
        assert_eq!(header("authorization"), "Basic bWVAeDpwOnc=");
        assert_eq!(of("http://host").uri(), "/");
        assert_eq!(of("http://[::1]:80/").headers()["host"], "[::1]");
    }

    #[test]
    fn a_server_in_trouble_is_asked_again_and_one_that_refuses_is_not() {
        let may_pass = |code: u16| {
            let judged = judge(StatusCode::from_u16(code).unwrap());
            judged.err().map(|refused| refused.may_pass)
        };
        assert_eq!(may_pass(204), None);
        for code in [500, 503, 408, 429] {
            assert_eq!(may_pass(code), Some(true), "{code}");
        }
        for code in [301, 400, 401, 404] {
            assert_eq!(may_pass(code), Some(false), "{code}");
        }
    }

    #[test]
    fn what_is_encoded_in_an_address_is_decoded_once() {
        assert_eq!(percent_decoded("a%40b%2540%"), "a@b%40%");
        assert_eq!(percent_decoded("%zz%4"), "%zz%4");
    }
}
