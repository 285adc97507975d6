// SPDX-License-Identifier: GPL-3.0-or-later

//! Something between worker and Manager: a reverse proxy that ends TLS, takes a prefix off, or falls silent.
//!
//! ```text
//! worker ── (TLS) ── Relay ── plain ── stand-in      frozen: accepted, open, and not a byte more
//! ```

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// Runs until it is dropped.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

struct Shared {
    target: SocketAddr,
    prefix: String,
    tls: Mutex<Option<TlsAcceptor>>,
    /// What connections of now obey; replaced for those of later.
    frozen: Mutex<watch::Sender<bool>>,
    heads: Mutex<String>,
}

impl Relay {
    /// Listens on `at` (port 0: any) and passes everything on to `target`, without `prefix`.
    pub(super) fn start(at: &str, target: SocketAddr, prefix: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind(at)).unwrap();
        let shared = Arc::new(Shared {
            target,
            prefix: prefix.to_owned(),
            tls: Mutex::default(),
            frozen: Mutex::new(watch::Sender::new(false)),
            heads: Mutex::default(),
        });
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(listener, Arc::clone(&shared)));
        Self {
            address,
            shared,
            runtime: Some(runtime),
        }
    }

    /// TLS with this certificate for new connections.
    pub(super) fn present(&self, config: ServerConfig) {
        *self.shared.tls.lock().unwrap() = Some(TlsAcceptor::from(Arc::new(config)));
    }

    /// Falls silent: connections stay open, new ones are taken, nothing is read or written.
    pub(super) fn freeze(&self) {
        self.shared.frozen.lock().unwrap().send_replace(true);
    }

    /// Serves new connections. Those that were frozen stay so.
    pub(super) fn thaw(&self) {
        *self.shared.frozen.lock().unwrap() = watch::Sender::new(false);
    }

    /// What came from the worker, bodies included.
    pub(super) fn heard(&self) -> String {
        self.shared.heads.lock().unwrap().clone()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let tls = shared.tls.lock().unwrap().clone();
            match tls {
                None => pass(stream, &shared).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        pass(stream, &shared).await;
                    }
                }
            }
        });
    }
}

async fn pass(stream: impl AsyncRead + AsyncWrite, shared: &Shared) {
    let Ok(target) = TcpStream::connect(shared.target).await else {
        return;
    };
    let (mut from, mut to) = split(stream);
    let (mut back, mut forth) = target.into_split();
    let mut frozen = shared.frozen.lock().unwrap().subscribe();
    let there = async {
        while let Some(bytes) = next(&mut from).await {
            // What is no text is of a websocket: passed on as it is.
            let bytes = match String::from_utf8(bytes) {
                Ok(text) => {
                    let text = text.replace(&format!(" {}/", shared.prefix), " /");
                    shared.heads.lock().unwrap().push_str(&text);
                    text.into_bytes()
                }
                Err(binary) => binary.into_bytes(),
            };
            if forth.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    let here = async {
        while let Some(bytes) = next(&mut back).await {
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        // The Manager closes what it will not read on.
        to.shutdown().await.ok();
    };
    let silence = async { frozen.wait_for(|frozen| *frozen).await.is_ok() };
    let is_frozen = tokio::select! {
        biased;
        is_frozen = silence => is_frozen,
        () = there => false,
        () = here => false,
    };
    if is_frozen {
        // Both ends stay open.
        std::future::pending::<()>().await;
    }
}

async fn next(from: &mut (impl AsyncRead + Unpin)) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 64 << 10];
    let count = from.read(&mut bytes).await.ok().filter(|count| *count > 0)?;
    bytes.truncate(count);
    Some(bytes)
}
