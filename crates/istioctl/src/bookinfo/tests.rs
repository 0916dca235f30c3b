//! The chain productpage -> reviews -> ratings over loopback.

use axum::http::HeaderMap;
use serde_json::Value;
use tokio::net::TcpListener;

use super::call::Caller;
use super::{Service, router};

async fn start(service: Service, version: &str, caller: Caller) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let app = router(service, version, caller);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

async fn shop(reviews_version: &str) -> Caller {
    let ratings = start(Service::Ratings, "v1", Caller::default()).await;
    let reviews = start(Service::Reviews, reviews_version, Caller::to(&[("ratings", ratings.clone())])).await;
    let details = start(Service::Details, "v1", Caller::default()).await;
    let places = [("ratings", ratings), ("reviews", reviews), ("details", details)];
    let page = start(Service::Productpage, "v1", Caller::to(&places)).await;
    Caller::to(&[("page", page)])
}

async fn get(shop: &Caller, path: &str) -> (u16, Value) {
    let (status, body) = shop.get("page", path, &HeaderMap::new()).await;
    (status.as_u16(), body)
}

#[tokio::test]
async fn versions_of_reviews_show_no_black_and_red_stars() {
    for (version, color) in [("v1", None), ("v2", Some("black")), ("v3", Some("red"))] {
        let (status, body) = get(&shop(version).await, "/api/v1/products/0/reviews").await;
        assert_eq!(status, 200);
        assert_eq!(body["reviews"][0]["rating"]["color"].as_str(), color, "{version}");
        assert_eq!(body["reviews"][0]["rating"]["stars"].as_u64(), color.map(|_| 5), "{version}");
    }
}

#[tokio::test]
async fn the_page_holds_title_details_and_stars() {
    let (status, body) = get(&shop("v3").await, "/productpage").await;
    let html = body.as_str().unwrap();
    assert_eq!(status, 200);
    assert!(html.contains("<title>Simple Bookstore App</title>"));
    assert!(html.contains("PublisherA"));
    assert!(html.contains("color:red"));
}

#[tokio::test]
async fn a_missing_service_is_said_on_the_page_and_in_the_api() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let caller = Caller::to(&[("details", nobody.clone()), ("reviews", nobody)]);
    let page = start(Service::Productpage, "v1", caller).await;
    let shop = Caller::to(&[("page", page)]);
    let (_, body) = get(&shop, "/productpage").await;
    assert!(body.as_str().unwrap().contains("Error fetching product details"));
    let (status, body) = get(&shop, "/api/v1/products/0").await;
    assert_eq!(
        (status, body["error"].as_str()),
        (500, Some("Sorry, product details are currently unavailable for this book."))
    );
}

#[tokio::test]
async fn a_product_without_a_number_is_refused() {
    let details = start(Service::Details, "v1", Caller::default()).await;
    let shop = Caller::to(&[("page", details)]);
    assert_eq!(get(&shop, "/details/x").await.0, 400);
    assert_eq!(get(&shop, "/details/7").await.1["id"], 7);
    assert_eq!(get(&shop, "/health").await.1["status"], "Details is healthy");
}
