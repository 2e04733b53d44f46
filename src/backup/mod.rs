//! stub
mod spool;
