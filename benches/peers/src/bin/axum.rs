//! axum under axum-server with rustls.

use std::convert::Infallible;
use std::sync::Arc;
use std::thread;

use axum::body::{Body, Bytes};
use axum::extract::DefaultBodyLimit;
use axum::http::header::CONTENT_TYPE;
use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use axum::Router;
use axum_server::tls_rustls::RustlsConfig;
use futures_util::{stream, Stream, StreamExt};
use peers::Outcome;
use ring::digest::{Context, SHA256};
use tokio::fs::{self, File};
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::runtime;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::broadcast::Sender;
use tower_http::compression::{CompressionLayer, CompressionLevel};
use tower_http::services::ServeDir;

fn main() -> Outcome<()> {
    let arguments = peers::arguments()?;
    let config = RustlsConfig::from_config(Arc::new(peers::tls(&arguments)?));
    let listener = peers::listener(arguments.port)?;
    listener.set_nonblocking(true)?;
    let large = peers::large();
    let page = peers::content("files/page.html")?;
    let report = peers::content("report.json")?;
    let compression = CompressionLayer::new().quality(CompressionLevel::Precise(1));
    let events = Sender::new(peers::BACKLOG);
    let feed = events.clone();
    let router =
        Router::new()
            .route("/api/events", get(move || async move { subscribe(&feed) }))
            .route(
                "/api/publish",
                post(|data: String| async move {
                    // It fails when nobody is there.
                    let _ = events.send(Event::default().data(data));
                }),
            )
            .route("/report.json", get(move || async move { json(report) }).layer(compression))
            .route("/embedded/page.html", get(move || async move { ([(CONTENT_TYPE, "text/html")], page) }))
            .nest_service("/files", ServeDir::new(peers::folder()?.join("files")))
            .route("/uploads/image", put(upload).layer(DefaultBodyLimit::disable()))
            .route("/api/data", get(|| async { json(peers::DATA) }))
            .route("/large", get(move || async move { large }))
            .route("/len", post(|body: Bytes| async move { json(peers::length_of(&body)) }))
            .route(
                "/json",
                post(|body: Bytes| async move {
                    peers::members_of(&body).map(json).ok_or(StatusCode::BAD_REQUEST)
                }),
            )
            .route(
                "/block",
                get(|| async {
                    let slept = tokio::task::spawn_blocking(|| thread::sleep(peers::BLOCK)).await;
                    slept.map(|()| json(peers::DATA)).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
                }),
            )
            .layer(DefaultBodyLimit::max(peers::MOST_BODY_BYTES));
    runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async move {
        let mut server = axum_server::from_tcp_rustls(listener, config)?;
        server.http_builder().http1().pipeline_flush(true);
        Ok(server.serve(router.into_make_service()).await?)
    })
}

fn json(body: impl IntoResponse) -> impl IntoResponse {
    ([(CONTENT_TYPE, peers::JSON)], body)
}

/// The events from now on.
fn subscribe(feed: &Sender<Event>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let events = stream::unfold(feed.subscribe(), |mut events| async {
        loop {
            match events.recv().await {
                Ok(event) => return Some((Ok(event), events)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    });
    Sse::new(events)
}

/// Streamed into a file of another name, hashed on its way, written to the disk, and renamed: as lockgate does it.
async fn upload(body: Body) -> StatusCode {
    match save(body).await {
        Ok(_) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

async fn save(body: Body) -> Outcome<Vec<u8>> {
    let path = peers::folder()?.join("uploads/image");
    let temporary = peers::temporary(&path);
    let mut file = BufWriter::with_capacity(peers::PIECE_BYTES, File::create(&temporary).await?);
    let mut hash = Context::new(&SHA256);
    let mut body = body.into_data_stream();
    while let Some(piece) = body.next().await {
        let piece = piece?;
        hash.update(&piece);
        file.write_all(&piece).await?;
    }
    file.flush().await?;
    file.into_inner().sync_all().await?;
    fs::rename(&temporary, &path).await?;
    Ok(hash.finish().as_ref().to_vec())
}
