//! hyper with tokio-rustls, one task for each connection, like hyper's own examples.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderValue, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use peers::Outcome;
use tokio::runtime;
use tokio_rustls::TlsAcceptor;

fn main() -> Outcome<()> {
    let arguments = peers::arguments()?;
    let acceptor = TlsAcceptor::from(Arc::new(peers::tls(&arguments)?));
    let listener = peers::listener(arguments.port)?;
    listener.set_nonblocking(true)?;
    let large = peers::large();
    runtime::Builder::new_multi_thread().enable_io().build()?.block_on(async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let Ok((tcp, _)) = listener.accept().await else { continue };
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else { return };
                let service = service_fn(move |request| answer(request, large));
                let mut http = http1::Builder::new();
                // Errors at the end of a connection are normal.
                let _ = http.pipeline_flush(true).serve_connection(TokioIo::new(tls), service).await;
            });
        }
    })
}

async fn answer(
    request: Request<Incoming>,
    large: &'static [u8],
) -> Result<Response<Full<Bytes>>, Infallible> {
    let route = (request.method().clone(), request.uri().path());
    Ok(match route {
        (Method::GET, "/api/data") => json(peers::DATA.into()),
        (Method::GET, "/large") => Response::new(Full::new(large.into())),
        (Method::GET, "/block") => {
            let slept = tokio::task::spawn_blocking(|| thread::sleep(peers::BLOCK)).await;
            slept.map_or_else(|_| status(StatusCode::INTERNAL_SERVER_ERROR), |()| json(peers::DATA.into()))
        }
        (Method::POST, "/len") => {
            let mut body = request.into_body();
            let mut length = 0;
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => length += frame.data_ref().map_or(0, Bytes::len),
                    Err(_) => return Ok(status(StatusCode::BAD_REQUEST)),
                }
            }
            json(serde_json::json!({"length": length}).to_string().into())
        }
        (Method::POST, "/json") => match request.into_body().collect().await {
            Ok(body) => peers::members_of(&body.to_bytes())
                .map_or_else(|| status(StatusCode::BAD_REQUEST), |text| json(text.into())),
            Err(_) => status(StatusCode::BAD_REQUEST),
        },
        _ => status(StatusCode::NOT_FOUND),
    })
}

fn json(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(peers::JSON));
    response
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
