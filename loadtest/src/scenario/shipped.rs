//! The scenarios inside the binary.

/// A scenario by name.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Its file.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),*) => {
        [$(Shipped { name: $name, text: include_str!(concat!("../../scenarios/", $name, ".toml")) }),*]
    };
}

/// All of them.
pub const SHIPPED: [Shipped; 9] =
    shipped!["evening", "storm", "steady", "burst", "reconnect", "disturbed", "slow-readers", "soak", "tenfold"];
