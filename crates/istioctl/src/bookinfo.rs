//! The sample application: four small HTTP services with the names, routes and JSON of Istio's bookinfo.

mod call;
mod page;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use serde_json::{Value, json};

use call::Caller;

/// The four services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Service {
    /// The page; calls details and reviews.
    Productpage,
    /// Facts about the book.
    Details,
    /// Two reviews; v2 and v3 call ratings.
    Reviews,
    /// Stars.
    Ratings,
}

type Answer = (StatusCode, Json<Value>);

/// Serves one of the services on 127.0.0.1 until the process ends.
///
/// # Errors
/// If the port cannot be bound.
pub async fn serve(service: Service, port: u16, version: &str) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
    axum::serve(listener, router(service, version, Caller::from_env())).await?;
    Ok(())
}

/// The routes of one service.
pub(crate) fn router(service: Service, version: &str, caller: Caller) -> Router {
    match service {
        Service::Productpage => productpage(caller),
        Service::Details => {
            Router::new().route("/health", health("Details")).route("/details/{id}", get(details))
        }
        Service::Reviews => Router::new()
            .route("/health", health("Reviews"))
            .route("/reviews/{id}", get(reviews))
            .with_state(Arc::new(Reviewer { version: version.to_owned(), caller })),
        Service::Ratings => Router::new()
            .route("/health", health("Ratings"))
            .route("/ratings/{id}", get(ratings).post(rate))
            .with_state(Arc::new(Mutex::new(BTreeMap::new()))),
    }
}

fn health<S: Clone + Send + Sync + 'static>(name: &'static str) -> MethodRouter<S> {
    get(move || async move { Json(json!({ "status": format!("{name} is healthy") })) })
}

fn refuse(message: &str) -> Answer {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": message })))
}

async fn details(Path(id): Path<String>) -> Answer {
    let Ok(id) = id.parse::<u32>() else { return refuse("please provide numeric product id") };
    let facts = json!({
        "id": id, "author": "William Shakespeare", "year": 1595, "type": "paperback", "pages": 200,
        "publisher": "PublisherA", "language": "English", "ISBN-10": "1234567890", "ISBN-13": "123-1234567890",
    });
    (StatusCode::OK, Json(facts))
}

type Ratings = Arc<Mutex<BTreeMap<u32, Value>>>;

async fn ratings(State(known): State<Ratings>, Path(id): Path<String>) -> Answer {
    let Ok(id) = id.parse::<u32>() else { return refuse("please provide numeric product ID") };
    let given = known.lock().ok().and_then(|known| known.get(&id).cloned());
    let ratings = given.unwrap_or_else(|| json!({"Reviewer1": 5, "Reviewer2": 4}));
    (StatusCode::OK, Json(json!({ "id": id, "ratings": ratings })))
}

async fn rate(State(known): State<Ratings>, Path(id): Path<String>, body: String) -> Answer {
    let Ok(id) = id.parse::<u32>() else { return refuse("please provide numeric product ID") };
    let Ok(ratings) = serde_json::from_str::<Value>(&body) else {
        return refuse("please provide valid ratings JSON");
    };
    if let Ok(mut known) = known.lock() {
        known.insert(id, ratings.clone());
    }
    (StatusCode::OK, Json(json!({ "id": id, "ratings": ratings })))
}

struct Reviewer {
    version: String,
    caller: Caller,
}

async fn reviews(State(this): State<Arc<Reviewer>>, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    const TEXTS: [(&str, &str); 2] = [
        ("Reviewer1", "A merry tangle of twins and mistaken doors; I laughed out loud on the train."),
        ("Reviewer2", "Quick and funny, if lighter than the later comedies of the same hand."),
    ];
    let Ok(number) = id.parse::<u32>() else { return refuse("please provide numeric product id") };
    let color = match this.version.as_str() {
        "v1" => None,
        "v2" => Some("black"),
        _ => Some("red"),
    };
    let stars = match color {
        Some(_) => this.caller.get("ratings", &format!("/ratings/{number}"), &headers).await,
        None => (StatusCode::OK, Value::Null),
    };
    let list: Vec<Value> = TEXTS
        .iter()
        .map(|(reviewer, text)| {
            let mut review = json!({ "reviewer": reviewer, "text": text });
            if let Some(color) = color {
                review["rating"] = match stars.1["ratings"].get(reviewer).filter(|_| stars.0.is_success()) {
                    Some(stars) => json!({ "stars": stars, "color": color }),
                    None => json!({ "error": "Ratings service is currently unavailable" }),
                };
            }
            review
        })
        .collect();
    let name = std::env::var("HOSTNAME").unwrap_or_else(|_| format!("reviews-{}", this.version));
    (StatusCode::OK, Json(json!({ "id": id, "podname": name, "clustername": "null", "reviews": list })))
}

fn productpage(caller: Caller) -> Router {
    Router::new()
        .route("/", get(|| async { Html(page::index()) }))
        .route("/index.html", get(|| async { Html(page::index()) }))
        .route("/health", get(|| async { "Product page is healthy" }))
        .route("/login", axum::routing::post(login))
        .route("/logout", get(logout))
        .route("/productpage", get(front))
        .route("/api/v1/products", get(|| async { Json(json!([page::product()])) }))
        .route("/api/v1/products/{id}", get(product_details))
        .route("/api/v1/products/{id}/reviews", get(product_reviews))
        .route("/api/v1/products/{id}/ratings", get(product_ratings))
        .with_state(Arc::new(caller))
}

async fn login(form: String) -> Response {
    let field = form.split('&').find_map(|field| field.strip_prefix("username=")).unwrap_or_default();
    let name: String = field.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
    let cookie = format!("session={name}; Path=/; HttpOnly; SameSite=Lax");
    back_to_the_page(cookie)
}

async fn logout() -> Response {
    let cookie = "session=; Path=/; Max-Age=0".to_owned();
    back_to_the_page(cookie)
}

fn back_to_the_page(cookie: String) -> Response {
    let location = "/productpage".to_owned();
    (StatusCode::FOUND, [(header::SET_COOKIE, cookie), (header::LOCATION, location)]).into_response()
}

fn user(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get(header::COOKIE)?.to_str().ok()?;
    let found = cookies.split(';').find_map(|cookie| cookie.trim().strip_prefix("session="))?;
    Some(found.chars().filter(char::is_ascii_alphanumeric).collect::<String>())
        .filter(|name| !name.is_empty())
}

/// The headers that go on to the next service: the caller's, and who is signed in.
fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    if let Some(value) = user(&headers).and_then(|name| name.parse().ok()) {
        headers.insert("end-user", value);
    }
    headers
}

async fn ask(caller: &Caller, service: &str, path: &str, what: &str, headers: &HeaderMap) -> Answer {
    let (status, body) = caller.get(service, path, headers).await;
    if status.is_success() {
        return (status, Json(body));
    }
    let message = format!("Sorry, product {what} are currently unavailable for this book.");
    let status = if body.is_null() { StatusCode::INTERNAL_SERVER_ERROR } else { status };
    (status, Json(json!({ "error": message })))
}

/// Reviews are asked for twice if the first try fails, as the original does.
async fn ask_reviews(caller: &Caller, id: &str, headers: &HeaderMap) -> Answer {
    let path = format!("/reviews/{id}");
    let first = ask(caller, "reviews", &path, "reviews", headers).await;
    if first.0.is_success() { first } else { ask(caller, "reviews", &path, "reviews", headers).await }
}

async fn front(State(caller): State<Arc<Caller>>, headers: HeaderMap) -> Html<String> {
    let forwarded = forwarded(&headers);
    let details = ask(&caller, "details", "/details/0", "details", &forwarded).await;
    let reviews = ask_reviews(&caller, "0", &forwarded).await;
    Html(page::render((details.0, &details.1.0), (reviews.0, &reviews.1.0), user(&headers).as_deref()))
}

async fn product_details(
    State(caller): State<Arc<Caller>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    ask(&caller, "details", &format!("/details/{id}"), "details", &forwarded(&headers)).await
}

async fn product_reviews(
    State(caller): State<Arc<Caller>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    ask_reviews(&caller, &id, &forwarded(&headers)).await
}

async fn product_ratings(
    State(caller): State<Arc<Caller>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    ask(&caller, "ratings", &format!("/ratings/{id}"), "ratings", &forwarded(&headers)).await
}

#[cfg(test)]
mod tests;
