//! Hosts that take a connection and say nothing: a machine that stands still, storage that hangs.

use std::net::TcpListener;

use campanile_store::testing::TestDatabase;
use campanile_store::{PostgresOptions, PostgresStore, Store};

/// The URL with a database that is not there, and one more host at which nobody listens, before or behind.
fn with_nobody(url: &str, goes_before: bool) -> String {
    let (login, place) = url.split_once('@').expect("it names a user");
    let host = place.split('/').next().expect("it names a host");
    let hosts =
        if goes_before { format!("127.0.0.1:1,{host}") } else { format!("{host},127.0.0.1:1") };
    format!("{login}@{hosts}/no_such_database")
}

#[test]
fn what_a_server_says_is_told_and_not_that_others_are_not_there() {
    let database = TestDatabase::create();
    for goes_before in [true, false] {
        let url = with_nobody(database.url(), goes_before);
        let told = PostgresStore::open(&PostgresOptions::new(url)).expect_err("it is not there");
        assert!(told.to_string().contains("make it with CREATE DATABASE"), "{told}");
    }
}

/// The URL with this host before the one that it names.
fn with_host_before(url: &str, host: &str) -> String {
    let (login, place) = url.split_once('@').expect("it names a user");
    let separator = if place.contains('?') { '&' } else { '?' };
    format!("{login}@{host},{place}{separator}connect_timeout=1")
}

#[test]
fn a_host_that_says_nothing_is_told_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("it binds");
    let address = silent.local_addr().expect("it has one");
    let url = format!("postgres://u:geheim@{address}/c?connect_timeout=1");
    let told = PostgresStore::open(&PostgresOptions::new(url)).expect_err("nobody is there");
    let told = told.to_string();
    let place = format!("postgres://{address}/c");
    assert!(told.contains(&place) && told.contains("no connection to a host within 6 s"), "{told}");
}

#[test]
fn a_host_that_says_nothing_does_not_keep_the_next_one_from_being_used() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("it binds");
    let address = silent.local_addr().expect("it has one");
    let database = TestDatabase::create();
    let url = with_host_before(database.url(), &address.to_string());
    let store = PostgresStore::open(&PostgresOptions::new(url)).expect("the second one answers");
    store.close().expect("it ends");
    // The host that answered was the first for each connection after the first one.
    silent.set_nonblocking(true).expect("it can be");
    let tried = std::iter::from_fn(|| silent.accept().ok()).count();
    assert_eq!(tried, 1);
}
