//! actix-web with rustls, a worker a core.

use std::fs::{self, File};
use std::io::Write;
use std::thread;

use actix_files::Files;
use actix_web::http::header::ContentType;
use actix_web::middleware::Compress;
use actix_web::web::{self, Bytes, Payload, PayloadConfig};
use actix_web::{rt, App, HttpResponse, HttpServer};
use futures_util::StreamExt;
use peers::Outcome;
use ring::digest::{Context, SHA256};

fn main() -> Outcome<()> {
    let arguments = peers::arguments()?;
    let config = peers::tls(&arguments)?;
    let listener = peers::listener(arguments.port)?;
    let large = peers::large();
    let page = peers::content("files/page.html")?;
    let report = peers::content("report.json")?;
    let files = peers::folder()?.join("files");
    let app = move || {
        App::new()
            .app_data(PayloadConfig::new(peers::MOST_BODY_BYTES))
            .service(
                // It compresses with level 1.
                web::resource("/report.json")
                    .wrap(Compress::default())
                    .route(web::get().to(move || async move { json(report) })),
            )
            .route(
                "/embedded/page.html",
                web::get().to(move || async move {
                    HttpResponse::Ok().content_type(ContentType::html()).body(page)
                }),
            )
            .service(Files::new("/files", files.clone()))
            .route("/uploads/image", web::put().to(upload))
            .route("/api/data", web::get().to(|| async { json(peers::DATA) }))
            .route("/large", web::get().to(move || async move { HttpResponse::Ok().body(large) }))
            .route("/len", web::post().to(|body: Bytes| async move { json(peers::length_of(&body)) }))
            .route(
                "/json",
                web::post().to(|body: Bytes| async move {
                    peers::members_of(&body).map_or_else(|| HttpResponse::BadRequest().finish(), json)
                }),
            )
            .route(
                "/block",
                web::get().to(|| async {
                    match web::block(|| thread::sleep(peers::BLOCK)).await {
                        Ok(()) => json(peers::DATA),
                        Err(_) => HttpResponse::InternalServerError().finish(),
                    }
                }),
            )
    };
    rt::System::new().block_on(async move {
        let server =
            HttpServer::new(app).keep_alive(peers::KEEP_ALIVE).listen_rustls_0_23(listener, config)?;
        Ok(server.run().await?)
    })
}

fn json(body: impl actix_web::body::MessageBody + 'static) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(body)
}

/// Streamed into a file of another name, hashed on its way, written to the disk, and renamed: as lockgate does it. What may block
/// runs in the pool for that, a piece at a time.
async fn upload(body: Payload) -> HttpResponse {
    match save(body).await {
        Ok(_) => HttpResponse::NoContent().finish(),
        Err(_) => HttpResponse::InternalServerError().finish(),
    }
}

async fn save(mut body: Payload) -> Outcome<Vec<u8>> {
    let path = peers::folder()?.join("uploads/image");
    let temporary = peers::temporary(&path);
    let name = temporary.clone();
    let mut file = web::block(move || File::create(name)).await??;
    let mut hash = Context::new(&SHA256);
    let mut collected = Vec::with_capacity(peers::PIECE_BYTES);
    loop {
        let piece = body.next().await.transpose().map_err(|error| error.to_string())?;
        if let Some(piece) = &piece {
            hash.update(piece);
            collected.extend_from_slice(piece);
        }
        if collected.len() >= peers::PIECE_BYTES || (piece.is_none() && !collected.is_empty()) {
            let written = move || {
                file.write_all(&collected)?;
                collected.clear();
                std::io::Result::Ok((file, collected))
            };
            (file, collected) = web::block(written).await??;
        }
        if piece.is_none() {
            break;
        }
    }
    web::block(move || {
        file.sync_all()?;
        fs::rename(temporary, path)
    })
    .await??;
    Ok(hash.finish().as_ref().to_vec())
}
