//! From nothing to a ready mesh, stage by stage; everything that can clash is tried before anything starts.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::allocate::Allocator;
use super::children::Starter;
use super::local::{ISTIOD, Local, Names, Plan, Ports};
use super::paths::Paths;
use super::record::{self, Record};
use super::stages::Stages;
use super::{meshfile, sample};
use crate::args::Up;
use crate::fetch::Fetcher;

/// How often something that is not ready yet is asked again.
const AGAIN: Duration = Duration::from_millis(25);

/// Clears away what a crashed mesh left, and makes the directories of a new one.
///
/// # Errors
/// If a mesh is running, or the directories cannot be made.
pub(super) fn make_room(paths: &Paths) -> anyhow::Result<()> {
    let record = Record::read(paths);
    if let Some(record) = record.as_ref().filter(|record| record.supervisor.lives()) {
        bail!(
            "a mesh is running already (pid {}, gateway {}); `istioctl down` stops it",
            record.supervisor.pid,
            record.document.gateway
        );
    }
    if record.is_some() {
        let ended = record::clear(paths, record.as_ref());
        if ended > 0 {
            eprintln!("ended {ended} processes that a crashed mesh had left");
        }
    }
    paths.create().with_context(|| format!("cannot make {}", paths.run.display()))
}

/// Starts everything and waits until it is ready.
///
/// # Errors
/// With cause, the end of the output of what failed, and what to do; whatever was started is stopped first.
pub(super) async fn start(args: &Up, paths: &Paths, stages: &mut Stages) -> anyhow::Result<Local> {
    make_room(paths)?;
    let started = start_in(args, paths, stages).await;
    if started.is_err() {
        // the logs stay: the error names them
        let _ = std::fs::remove_file(&paths.control);
        sample::remove_if_unedited(paths);
    }
    started
}

async fn start_in(args: &Up, paths: &Paths, stages: &mut Stages) -> anyhow::Result<Local> {
    let plan = plan(args, paths, stages)?;
    let (plan, allocator) = plan;
    let mut local = Local::settle(plan, allocator)?;
    for service in local.privileged_services() {
        stages.say(&format!(
            "! {service}: a port below 1024 cannot be bound without privileges; its name will not work here \
             (give the Service a port above, or call it from a cluster)"
        ));
    }
    for service in local.services_at_kept_ports() {
        stages.say(&format!(
            "! {service}: a program keeps this port for itself; let it listen on 127.0.0.1 only, or the proxies cannot \
             listen for callers of the Service (or leave `ports` out of mesh.yaml and let it listen on $PORT)"
        ));
    }
    let bind = local.plan.gateway_bind;
    if !bind.is_loopback() {
        stages.say(&format!("! the gateway listens on {bind}: others than this machine can call the mesh"));
    }
    let deadline = Instant::now() + Duration::from_secs(args.readiness_timeout);
    match start_processes(&mut local, deadline, stages).await {
        Ok(()) => Ok(local),
        Err(error) => {
            local.stop().await;
            Err(error)
        }
    }
}

fn plan(args: &Up, paths: &Paths, stages: &mut Stages) -> anyhow::Result<(Plan, Allocator)> {
    let places = envoy::Places::from_environment(args.envoy.clone());
    let envoy =
        envoy::find_or_install(&places, &mut |line| stages.say(line)).map_err(|e| anyhow::anyhow!("{e}"))?;
    // agents run in directories of their own
    let binary = envoy.path.canonicalize().unwrap_or(envoy.path);
    // what this product installed is a stock Envoy; of another one each agent must find out, which takes it seconds
    let stock = places.cache.canonicalize().is_ok_and(|cache| binary.starts_with(cache));
    stages.done("envoy", format!("{} {}", envoy.version, binary.display()));
    let folder_path = match &args.folder {
        Some(folder) => folder.canonicalize().with_context(|| format!("cannot read {}", folder.display()))?,
        None => sample::write(paths)?,
    };
    if !folder_path.is_dir() {
        bail!("{} is not a folder", folder_path.display());
    }
    let mut file = meshfile::read(&folder_path)?;
    if let Some(complaint) = file.complaint() {
        stages.say(&format!("! {complaint}"));
    }
    if let Some(rate) = args.traffic {
        file.traffic.rate = rate;
    }
    let own = std::env::current_exe()?;
    let binaries = own.parent().map(Path::to_owned).unwrap_or_default();
    let instance = format!("{}-{}", std::process::id(), jiff::Timestamp::now().as_millisecond());
    let names = if args.http_proxy { Names::HttpProxy } else { names(&own, paths, stages) };
    let mut allocator = Allocator::new()?;
    let ports = Ports {
        xds: allocator.port(18010, "xDS")?,
        secure: allocator.port(18012, "xDS")?,
        http: allocator.port(18008, "the control plane")?,
        monitoring: allocator.port(18014, "the control plane")?,
        controlz: allocator.port(18076, "ControlZ")?,
        gateway: allocator.port(args.gateway_port, "the gateway")?,
        gateway_tls: allocator.port(18443, "the gateway")?,
    };
    let starter = Starter { own, instance, logs: paths.logs() };
    let plan = Plan {
        paths: paths.clone(),
        folder_path,
        file,
        starter,
        binaries,
        envoy: binary,
        stock,
        names,
        ports,
        gateway_bind: args.gateway_bind,
    };
    Ok((plan, allocator))
}

/// Tries in a child whether programs can have a private /etc/hosts.
fn names(own: &Path, paths: &Paths, stages: &mut Stages) -> Names {
    let probe = paths.run.join("hosts/.probe");
    let _ = std::fs::write(&probe, "127.0.0.1 localhost\n");
    let tried = Command::new(own).args(["enter", "--probe", "--hosts"]).arg(&probe).output();
    let _ = std::fs::remove_file(&probe);
    match tried {
        Ok(output) if output.status.success() => Names::Hosts,
        tried => {
            let why = tried.map(|o| String::from_utf8_lossy(&o.stderr).trim().to_owned()).unwrap_or_default();
            stages.say(&format!(
                "! user namespaces are forbidden here ({why}): programs find services by the variable http_proxy instead; \
                 curl, Python and Go honour it, Node, Java, gRPC and plain TCP do not"
            ));
            Names::HttpProxy
        }
    }
}

async fn start_processes(local: &mut Local, deadline: Instant, stages: &mut Stages) -> anyhow::Result<()> {
    let fetcher = Fetcher::new(Duration::from_secs(2));
    local.start_control_plane()?;
    local.remember()?;
    let url = local.control_plane_ready_url();
    wait_for(local, deadline, VecDeque::from([(ISTIOD.to_owned(), url)]), &fetcher).await?;
    let ports = local.plan.ports;
    stages.done("control plane", format!("xds 127.0.0.1:{}  debug {}", ports.xds, local.debug_url()));

    let ids: Vec<String> = local.inhabitants.keys().cloned().collect();
    for id in &ids {
        local.start_agent(id)?;
    }
    local.start_gateway()?;
    for id in &ids {
        local.start_app(id)?;
    }
    local.remember()?;
    wait_for_apps(local, deadline).await?;
    let started = local.inhabitants.values().filter(|i| i.app.running().is_some()).count();
    stages.done(
        "programs",
        format!("{started} of {} workloads (logs in {})", ids.len(), local.plan.paths.logs().display()),
    );

    let proxies = local.proxies().map(|proxy| (format!("proxy-{}", proxy.id), proxy.ready_url())).collect();
    wait_for(local, deadline, proxies, &fetcher).await?;
    local.proxies_mut().for_each(|proxy| proxy.ready = true);
    let names =
        if local.plan.names == Names::Hosts { "names by private /etc/hosts" } else { "names by http_proxy" };
    stages.done("proxies", format!("{} real Envoys, {names}", ids.len() + 1));
    wait_for_gateway(local, deadline).await?;
    stages.done("gateway", format!("{}{}", local.gateway_url(), local.plan.file.traffic.path));
    Ok(())
}

/// Waits until every URL has answered 200 once; each stands with the name of the process behind it.
async fn wait_for(
    local: &mut Local,
    deadline: Instant,
    mut left: VecDeque<(String, String)>,
    fetcher: &Fetcher,
) -> anyhow::Result<()> {
    while let Some((name, url)) = left.pop_front() {
        let Err(error) = fetcher.get(&url).await else { continue };
        let log = local.plan.paths.logs().join(format!("{name}.log"));
        check(local, deadline, || {
            format!(
                "{name} is not ready: {error}\nthe end of its output:\n{}",
                super::children::tail(&log, 8)
            )
        })?;
        left.push_back((name, url));
        tokio::time::sleep(AGAIN).await;
    }
    Ok(())
}

/// Waits until every program that the mesh started listens on every port it was given.
async fn wait_for_apps(local: &mut Local, deadline: Instant) -> anyhow::Result<()> {
    let mut left: VecDeque<(String, u16)> = local
        .inhabitants
        .iter()
        .filter(|(_, inhabitant)| inhabitant.app.running().is_some())
        .flat_map(|(id, inhabitant)| inhabitant.place.ports.iter().map(|port| (id.clone(), port.app)))
        .collect();
    while let Some((id, port)) = left.pop_front() {
        if listens(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port)).await {
            continue;
        }
        let elsewhere = local.ports_of_app(&id);
        check(local, deadline, || {
            let hint = match elsewhere.first() {
                Some(other) => {
                    format!("; it listens on {other}: say `ports: {{<targetPort>: {other}}}` in mesh.yaml")
                }
                None => format!("; it was told so by $PORT={port}"),
            };
            format!("the program of {id} does not listen on 127.0.0.1:{port}{hint}")
        })?;
        left.push_back((id, port));
        tokio::time::sleep(AGAIN).await;
    }
    Ok(())
}

/// The gateway listens only if a Gateway object asks for it; where none does, there is nothing to wait for.
async fn wait_for_gateway(local: &mut Local, deadline: Instant) -> anyhow::Result<()> {
    if !local.serves_gateway() {
        return Ok(());
    }
    while !listens(local.gateway_address()).await {
        check(local, deadline, || "the gateway does not listen".to_owned())?;
        tokio::time::sleep(AGAIN).await;
    }
    Ok(())
}

async fn listens(at: SocketAddrV4) -> bool {
    tokio::net::TcpStream::connect(at).await.is_ok()
}

/// Nothing died, and there is time left.
fn check(local: &mut Local, deadline: Instant, waiting_for: impl FnOnce() -> String) -> anyhow::Result<()> {
    if let Some(message) = local.casualty() {
        bail!("{message}");
    }
    if Instant::now() > deadline {
        let logs: PathBuf = local.plan.paths.logs();
        bail!(
            "{} (gave up; --readiness-timeout; output of all processes in {})",
            waiting_for(),
            logs.display()
        );
    }
    Ok(())
}
