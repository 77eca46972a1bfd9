//! Claims of imports that are under way.

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, Table};
use serde::{Deserialize, Serialize};

use super::tables::{IMPORTS, Json, StoreError, parse};
use crate::domain::LedgerMs;
use crate::domain::ids::RoomCode;

/// A claim, as it is stored under the room's id.
#[derive(Serialize, Deserialize)]
pub struct StoredClaim {
    /// See [`crate::ledger::ImportClaim::token`].
    pub token: u64,
    /// When it expires.
    pub until: LedgerMs,
    /// The join code, claimed together with the id.
    pub code: RoomCode,
    /// The `ref`, claimed together with the id.
    pub reference: Option<String>,
}

/// True if the room is being imported.
///
/// # Errors
/// See [`StoreError`].
pub fn is_importing(transaction: &ReadTransaction, id: &str) -> Result<bool, StoreError> {
    Ok(transaction.open_table(IMPORTS)?.get(id)?.is_some())
}

/// True if any room is being imported.
///
/// # Errors
/// See [`StoreError`].
pub fn has_imports(transaction: &ReadTransaction) -> Result<bool, StoreError> {
    Ok(!transaction.open_table(IMPORTS)?.is_empty()?)
}

/// Lets all claims expire. Called when the file is opened: only one process has it, so the holders are gone.
///
/// # Errors
/// The file failed.
pub fn expire_all(imports: &mut Table<'_, &'static str, Json>) -> Result<(), redb::StorageError> {
    let mut all = vec![];
    for entry in imports.iter()? {
        let (id, claim) = entry?;
        if let Ok(claim) = parse::<StoredClaim>(claim.value()) {
            all.push((id.value().to_owned(), StoredClaim { until: 0, ..claim }));
        }
    }
    for (id, claim) in all {
        if let Ok(json) = serde_json::to_vec(&claim) {
            imports.insert(id.as_str(), json.as_slice())?;
        }
    }
    Ok(())
}
