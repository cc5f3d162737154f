//! What a client calls itself: the product of its `User-Agent` (RFC 9110, section 10.1.5).

/// The first product that says something.
///
/// huggingface_hub writes `unknown/None; hf_hub/2.4.0; python/3.11.2` where no library above it gave its name
/// (`utils/_headers.py`, `_http_user_agent`).
pub fn product(agent: &str) -> Option<&str> {
    let products = agent.split([' ', '\t', ';']);
    let mut products = products.filter(|product| !product.is_empty());
    products.find(|product| !product.starts_with("unknown/"))
}

#[cfg(test)]
mod tests {
    use super::product;

    #[test]
    fn the_first_product_that_says_something_is_the_client() {
        for (agent, client) in [
            ("git/2.39.5", Some("git/2.39.5")),
            (
                "git-lfs/3.3.0 (GitHub; linux amd64; go 1.19.8)",
                Some("git-lfs/3.3.0"),
            ),
            (
                "unknown/None; hf_hub/2.4.0; python/3.11.2",
                Some("hf_hub/2.4.0"),
            ),
            ("transformers/5.0; hf_hub/2.4.0", Some("transformers/5.0")),
            ("unknown/None", None),
            (" ; ", None),
        ] {
            assert_eq!(product(agent), client, "{agent:?}");
        }
    }
}
