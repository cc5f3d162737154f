//! A TUN device: packets of a network interface, read and written by this process.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::fd::AsRawFd as _,
};

use nix::libc;

/// An interface of the network namespace in which it was opened; it ends with its last clone.
pub(crate) struct Tun(File);

impl Tun {
    /// Makes the interface `name` in the calling thread's network namespace.
    pub(crate) fn open(name: &str) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/net/tun")?;
        attach(&file, name)?;
        Ok(Self(file))
    }

    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        self.0.try_clone().map(Self)
    }

    /// One packet.
    pub(crate) fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }

    /// Sends one packet.
    pub(crate) fn send(&mut self, packet: &[u8]) -> io::Result<()> {
        self.0.write_all(packet)
    }
}

#[expect(unsafe_code, reason = "no safe wrapper of TUNSETIFF")]
fn attach(file: &File, name: &str) -> io::Result<()> {
    // linux/if_tun.h: a device of IP packets, without four bytes before each.
    const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
    const IFF_TUN: u16 = 0x0001;
    const IFF_NO_PI: u16 = 0x1000;
    // linux/if.h: `struct ifreq`, a name of 16 bytes and a union of 24.
    let mut request = [0_u8; 40];
    let name = &name.as_bytes()[..name.len().min(15)];
    request[..name.len()].copy_from_slice(name);
    request[16..18].copy_from_slice(&(IFF_TUN | IFF_NO_PI).to_ne_bytes());
    // SAFETY: the descriptor is open, and the kernel reads and writes a `struct ifreq`, which is 40 bytes.
    let done = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) };
    if done == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
