//! The scenarios that are part of the program.

macro_rules! shipped {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../../scenarios/", $name, ".toml")))),*]
    };
}

/// Names on the command line and texts of the files, in the order of `loadtest list`.
pub const SHIPPED: [(&str, &str); 9] =
    shipped!["evening", "storm", "steady", "burst", "reconnect", "disturbed", "slow-readers", "soak", "tenfold"];
