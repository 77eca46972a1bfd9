//! What an attacker gains: nothing that the page of promises excludes. Against real servers.

#[path = "../support/mod.rs"]
mod support;

mod redis_users;
mod secrets;
