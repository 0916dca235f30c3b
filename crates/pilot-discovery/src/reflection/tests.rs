//! What tools are told.

use tonic::transport::server::Router;
use tonic::transport::{Channel, Endpoint, Server};
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ErrorResponse, ServerReflectionRequest};

use super::*;

const ADS: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";

async fn client(router: Router) -> ServerReflectionClient<Channel> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
    tokio::spawn(router.serve_with_incoming(incoming));
    let channel = Endpoint::from_shared(url).unwrap().connect().await.unwrap();
    ServerReflectionClient::new(channel)
}

async fn ask(client: &mut ServerReflectionClient<Channel>, what: MessageRequest) -> MessageResponse {
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(what) };
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    answers.message().await.unwrap().unwrap().message_response.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_services_of_the_port_and_their_messages_are_told() {
    let service = Reflection::<V1>::of(&[ADS]);
    assert!(service.served.get().is_none(), "nothing is read before somebody asks");
    let mut client = client(Server::builder().add_service(service.clone())).await;
    let MessageResponse::ListServicesResponse(list) =
        ask(&mut client, MessageRequest::ListServices(String::new())).await
    else {
        panic!("no list")
    };
    let names: Vec<&str> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, [ADS, V1::NAME, V1Alpha::NAME]);
    for symbol in
        [ADS, "envoy.service.discovery.v3.DeltaDiscoveryRequest", "istio.v1.auth.IstioCertificateRequest"]
    {
        let told = ask(&mut client, MessageRequest::FileContainingSymbol(symbol.to_owned())).await;
        assert!(matches!(told, MessageResponse::FileDescriptorResponse(_)), "{symbol}: {told:?}");
    }
    let unknown = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::FileContainingSymbol("no.such.Thing".to_owned())),
        };
        let mut answers =
            client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
        answers.message().await
    });
    let unknown = unknown.await.unwrap();
    let is_error = |response: &tonic_reflection::pb::v1::ServerReflectionResponse| {
        matches!(&response.message_response, Some(MessageResponse::ErrorResponse(ErrorResponse { .. })))
    };
    assert!(unknown.is_err() || unknown.unwrap().is_some_and(|response| is_error(&response)));
    assert!(service.served.get().is_some());
    assert!(Reflection::<V1Alpha>::of(&[ADS]).served().is_some());
}
