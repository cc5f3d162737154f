//! Which upstream is tried first: one that just failed is tried last for a while.
