//! Facts about this process: the limit of file descriptors, and its terminal.

use std::{
    io::IsTerminal,
    os::fd::{AsFd, AsRawFd as _},
};

use nix::{
    libc,
    sys::resource::{Resource, getrlimit},
};

/// The soft limit of file descriptors.
pub(crate) fn descriptor_limit() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE);
    limit.map_or(usize::MAX, |(soft, _)| {
        usize::try_from(soft).unwrap_or(usize::MAX)
    })
}

/// True for a terminal, unless `NO_COLOR` is set and not empty (no-color.org).
pub(crate) fn shows_colours(stream: impl IsTerminal) -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !plain
}

/// The columns and rows of `terminal`; `None` where it is not a terminal, or its size is unknown.
#[expect(unsafe_code, reason = "nix has no safe wrapper of TIOCGWINSZ")]
pub(crate) fn terminal_size(terminal: impl AsFd) -> Option<(usize, usize)> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let terminal = terminal.as_fd().as_raw_fd();
    // SAFETY: the descriptor is open as long as `terminal` is borrowed, and the kernel writes one `winsize`.
    let done = unsafe { libc::ioctl(terminal, libc::TIOCGWINSZ, &raw mut size) };
    let known = done == 0 && size.ws_col > 0;
    known.then_some((size.ws_col.into(), size.ws_row.into()))
}
