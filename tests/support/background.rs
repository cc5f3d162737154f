//! Servers inside the test, on a separate runtime that ends when its owner is dropped.

use std::{
    future::Future,
    net::{SocketAddr, TcpListener as StdListener},
};

use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    task::JoinSet,
};

/// A runtime with one worker; everything it runs ends with it.
pub(crate) struct Background(Option<Runtime>);

impl Background {
    pub(crate) fn new() -> Self {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build();
        Self(Some(runtime.unwrap()))
    }

    /// Listens on a free port of loopback and runs `serve` for every connection, which it counts from 1.
    pub(crate) fn serve<F>(
        &self,
        serve: impl Fn(TcpStream, usize) -> F + Send + 'static,
    ) -> SocketAddr
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.serve_on(StdListener::bind("127.0.0.1:0").unwrap(), serve)
    }

    /// As [`Background::serve`], on an existing listener.
    pub(crate) fn serve_on<F>(
        &self,
        listener: StdListener,
        serve: impl Fn(TcpStream, usize) -> F + Send + 'static,
    ) -> SocketAddr
    where
        F: Future<Output = ()> + Send + 'static,
    {
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let runtime = self.0.as_ref().unwrap();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            let mut connections = JoinSet::new();
            let mut number = 0;
            while let Ok((stream, _)) = listener.accept().await {
                number += 1;
                let _ = stream.set_nodelay(true);
                connections.spawn(serve(stream, number));
                while connections.try_join_next().is_some() {}
            }
        });
        address
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
