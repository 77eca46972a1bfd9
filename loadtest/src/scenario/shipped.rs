//! The scenarios that are part of the program.

/// A scenario by name.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// Its name on the command line.
    pub name: &'static str,
    /// Text of its file.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),*) => {
        [$(Shipped { name: $name, text: include_str!(concat!("../../scenarios/", $name, ".toml")) }),*]
    };
}

/// In the order of `loadtest list`.
pub const SHIPPED: [Shipped; 9] =
    shipped!["evening", "storm", "steady", "burst", "reconnect", "disturbed", "slow-readers", "soak", "tenfold"];
