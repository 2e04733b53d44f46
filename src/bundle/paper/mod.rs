//! What is kept on paper: the [`page`], with the password as a [`qr`] code.

pub mod page;
mod qr;
