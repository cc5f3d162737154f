//! The daemon's own addresses under `/-/`: the page, the API, metrics, the CA certificate (never its key). Nothing here changes anything but
//! [`page_response::NONCE_PATH`], which issues the nonces with which `gitferry doctor` checks clients.
//!
//! [`endpoints::ENDPOINTS`] is the table of addresses, [`page_response`] makes the response of each, [`view`] the overview, [`api`] the
//! JSON, [`events`] the stream of changes, and [`html`] the page, whose files are in `page/`.

mod api;
pub(crate) mod daemon;
pub(crate) mod endpoints;
pub(crate) mod events;
mod html;
mod page_response;
mod pages;
mod response;
pub(crate) mod upstreams;
pub(crate) mod verdict;
pub(crate) mod view;

pub(crate) use api::parse_since;
pub(crate) use pages::{PageRequest, Pages};
