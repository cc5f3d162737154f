//! Leg-by-leg checks of every route, a table.
