//! Claims of imports that are not finished.

use redb::{ReadTransaction, ReadableTable, ReadableTableMetadata, Table};
use serde::{Deserialize, Serialize};

use super::tables::{IMPORTS, Json, StoreError, parse};
use crate::domain::LedgerMs;
use crate::domain::ids::RoomCode;

/// A claim that is not finished, by room id.
#[derive(Serialize, Deserialize)]
pub struct Running {
    /// See [`ImportClaim::token`].
    pub token: u64,
    /// It runs out then.
    pub until: LedgerMs,
    /// Claimed along with the id.
    pub code: RoomCode,
    /// Claimed along with the id.
    pub reference: Option<String>,
}

/// True if the room is claimed by an import that is not finished.
pub fn is_importing(transaction: &ReadTransaction, id: &str) -> Result<bool, StoreError> {
    Ok(transaction.open_table(IMPORTS)?.get(id)?.is_some())
}

/// True if any import is not finished.
pub fn are_any(transaction: &ReadTransaction) -> Result<bool, StoreError> {
    Ok(!transaction.open_table(IMPORTS)?.is_empty()?)
}

/// All claims have run out: whoever held one is gone, for only one process has the file.
pub fn expire_all(imports: &mut Table<'_, &'static str, Json>) -> Result<(), redb::StorageError> {
    let mut all = vec![];
    for entry in imports.iter()? {
        let (id, running) = entry?;
        if let Ok(running) = parse::<Running>(running.value()) {
            all.push((id.value().to_owned(), Running { until: 0, ..running }));
        }
    }
    for (id, running) in all {
        if let Ok(json) = serde_json::to_vec(&running) {
            imports.insert(id.as_str(), json.as_slice())?;
        }
    }
    Ok(())
}
