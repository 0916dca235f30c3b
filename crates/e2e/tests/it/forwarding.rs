//! What stands in for a kubelet: it forwards ports of pods, which is all that is asked of it.
//!
//! As kubelets do for WebSockets: messages begin with the number of a channel, an even one for data and the odd one after
//! it for errors; the first message on each names the port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Listens on loopback, and connects ports of any pod with these places. Ends with its runtime.
pub(crate) async fn serve(ports: BTreeMap<u16, SocketAddr>) -> SocketAddr {
    let pair = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(pair.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pair.cert.der().clone()], key.into())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let ports = Arc::new(ports);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, ports) = (acceptor.clone(), ports.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let mut asked = String::new();
                let Ok(socket) = accept_hdr_async(stream, Chosen(&mut asked)).await else { return };
                let port = asked.split_once("port=").and_then(|(_, port)| port.parse().ok()).unwrap_or(0);
                forward(socket, port, ports.get(&port).copied()).await;
            });
        }
    });
    address
}

/// Takes down what is asked for, and speaks the protocol of forwarded ports.
struct Chosen<'a>(&'a mut String);

impl Callback for Chosen<'_> {
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        *self.0 = request.uri().to_string();
        let protocol = http::HeaderValue::from_static("v4.channel.k8s.io");
        response.headers_mut().insert("sec-websocket-protocol", protocol);
        Ok(response)
    }
}

fn message(channel: u8, body: &[u8]) -> Message {
    Message::Binary(Bytes::from([&[channel], body].concat()))
}

async fn forward(mut socket: Socket, port: u16, to: Option<SocketAddr>) {
    for channel in [0, 1] {
        if socket.send(message(channel, &port.to_le_bytes())).await.is_err() {
            return;
        }
    }
    let connected = match to {
        Some(to) => TcpStream::connect(to).await.map_err(|error| error.to_string()),
        None => Err(format!("nobody listens on port {port} of the pod")),
    };
    let mut stream = match connected {
        Ok(stream) => stream,
        Err(reason) => {
            let _ = socket.send(message(1, reason.as_bytes())).await;
            let _ = socket.close(None).await;
            // what is still unread when a socket goes makes its kernel drop what it has not sent yet
            while let Some(Ok(_)) = socket.next().await {}
            return;
        }
    };
    let mut buffer = vec![0; 1 << 14];
    loop {
        tokio::select! {
            read = stream.read(&mut buffer) => match read {
                Ok(count) if count > 0 => {
                    if socket.send(message(0, &buffer[..count])).await.is_err() {
                        return;
                    }
                }
                _ => break,
            },
            received = socket.next() => match received {
                Some(Ok(Message::Binary(bytes))) if bytes.first() == Some(&0) => {
                    if stream.write_all(&bytes[1..]).await.is_err() {
                        break;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
    let _ = socket.close(None).await;
}
