//! An edit as a collector of OpenTelemetry sees it: what was read, committed, pushed and answered is one trace.

use parking_lot::Mutex;
use proto::opentelemetry::proto::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use proto::opentelemetry::proto::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use proto::opentelemetry::proto::common::v1::any_value::Value;
use proto::opentelemetry::proto::trace::v1::Span;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Response, Status};

use super::*;

/// What a collector was sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            self.0.lock().extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn traced(folder: &Path, socket: &Path, collector: &str) -> Result<Running, Failure> {
    let line = format!(
        "--configDir={} --grpcAddr=unix://{} --secureGRPCAddr= --httpAddr=127.0.0.1:0 --monitoringAddr=127.0.0.1:0",
        folder.display(),
        socket.display()
    );
    let args = Args::parse(line.split_whitespace().map(str::to_owned)).unwrap();
    let own = folder.join(".ca").display().to_string();
    let vars = [("MELTEMI_CA_DIR", own.as_str()), ("OTEL_EXPORTER_OTLP_ENDPOINT", collector)];
    let (options, problems) = Options::read(&args, &Vars::from_iter(vars)).unwrap();
    assert!(problems.is_empty(), "{problems:?}");
    start(options).await
}

/// A proxy takes what it is given, then a service is added, and the proxy takes that as well.
async fn edit(folder: &Path, socket: PathBuf) -> Stream {
    let (mut stream, first) = sidecar(socket).await;
    stream.answer(&first, None, &[]);
    let other = SERVICE.replace("{name: a}", "{name: b}").replace("a.ex", "b.ex");
    fs::write(folder.join("b.yaml"), other).unwrap();
    let next = tokio::time::timeout(Duration::from_secs(120), stream.next());
    let second = next.await.expect("no push").unwrap().expect("the stream ended");
    stream.answer(&second, None, &[]);
    // the answer is on its way: something is asked behind it, and the reply awaited
    stream.subscribe(&TypeUrl::Listener, &[]);
    let next = tokio::time::timeout(Duration::from_secs(120), stream.next());
    next.await.expect("no listeners").unwrap().expect("the stream ended");
    stream
}

fn number(span: &Span, key: &str) -> i64 {
    let value = span.attributes.iter().find(|attribute| attribute.key == key);
    match value.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::IntValue(number)) => *number,
        other => panic!("{key} is {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_is_one_trace_from_its_event_to_the_ack_of_a_proxy() {
    let collector = Collector::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = TraceServiceServer::new(collector.clone());
    let server = tonic::transport::Server::builder().add_service(service);
    let serving = tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), SERVICE).unwrap();
    let socket = folder.path().join(".xds.sock");
    let running = traced(folder.path(), &socket, &format!("http://{address}")).await.unwrap();
    let mut stream = edit(folder.path(), socket).await;

    let chain = testkit::eventually("a push of the edit", Duration::from_secs(60), async || {
        let spans = collector.0.lock().clone();
        let push = spans.iter().find(|span| span.name == "push")?.clone();
        let above = |of: &Span| spans.iter().find(|span| span.span_id == of.parent_span_id).cloned();
        let commit = above(&push)?;
        let event = above(&commit)?;
        Some((event, commit, push))
    });
    let (event, commit, push) = chain.await.unwrap();
    assert_eq!((event.name.as_str(), commit.name.as_str()), ("event", "commit"));
    assert!(event.parent_span_id.is_empty(), "the first of its trace");
    assert!([&commit, &push].iter().all(|span| span.trace_id == event.trace_id));
    let objects = format!("{:?}", event.attributes);
    assert!(objects.contains("added ServiceEntry default/b"), "{objects}");
    assert!(number(&commit, "meltemi.rows") > 0 && number(&push, "xds.bytes") > 0);
    assert_eq!((push.events[0].name.as_str(), push.status), ("ack", None));
    assert!(event.start_time_unix_nano <= commit.start_time_unix_nano);
    assert!(commit.start_time_unix_nano <= push.start_time_unix_nano);
    assert!(push.start_time_unix_nano < push.end_time_unix_nano);
    let metrics = get(&running, 3, "/metrics").await.unwrap();
    assert!(metrics.contains("pilot_trace_spans_dropped_total 0\n"), "{metrics}");
    // a push that nobody has answered is told as well, at the end
    let before = collector.0.lock().len();
    let other = SERVICE.replace("{name: a}", "{name: c}").replace("a.ex", "c.ex");
    fs::write(folder.path().join("c.yaml"), other).unwrap();
    let third = tokio::time::timeout(Duration::from_secs(120), stream.next());
    third.await.expect("no push").unwrap().expect("the stream ended");
    running.stop(Duration::from_secs(10)).await;
    let told: Vec<Span> = collector.0.lock().split_off(before);
    assert!(told.iter().any(|span| span.name == "push" && span.events.is_empty()), "{told:?}");
    serving.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_collector_nothing_is_traced_and_one_that_cannot_be_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.yaml"), SERVICE).unwrap();
    let socket = folder.path().join(".xds.sock");
    let running = traced(folder.path(), &socket, "").await.unwrap();
    assert!(running.catalog.tracer().is_none());
    drop(edit(folder.path(), socket.clone()).await);
    assert!(!get(&running, 3, "/metrics").await.unwrap().contains("pilot_trace_spans"));
    running.stop(Duration::from_secs(10)).await;
    let error = traced(folder.path(), &socket, "collector:4317").await.err().unwrap().to_string();
    assert!(error.contains("OTEL_EXPORTER_OTLP_ENDPOINT") && error.contains("http://"), "{error}");
}
