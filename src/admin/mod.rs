//! The daemon's own addresses under `/-/`: the page, the API, metrics, the CA certificate (never its key). Nothing here changes anything but
//! [`answer::NONCE_PATH`], which gives `gitferry doctor` what it checks clients with.
//!
//! [`endpoints::ENDPOINTS`] is the table of addresses, [`answer`] what each of them answers, [`view`] the overview, [`api`] the JSON,
//! [`events`] the stream of changes, and
//! [`html`] the page, whose files stand in `page/`.

mod answer;
mod api;
pub(crate) mod daemon;
pub(crate) mod endpoints;
pub(crate) mod events;
mod html;
mod pages;
mod response;
pub(crate) mod upstreams;
pub(crate) mod verdict;
pub(crate) mod view;

pub(crate) use api::since;
pub(crate) use pages::{PageRequest, Pages};
