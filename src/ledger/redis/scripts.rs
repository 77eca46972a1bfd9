//! The Lua scripts: one per change, each in a file of its own whose header lists keys, arguments and reply.

use std::sync::LazyLock;

use redis::Script;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $($file:literal)+;)+) => {$(
        $(#[$doc])*
        pub(super) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(concat!($(include_str!(concat!("scripts/", $file, ".lua"))),+)));
    )+

        /// All of them.
        pub(super) fn all() -> Vec<&'static Script> {
            vec![$(&*$name),+]
        }

        /// The name of the script with this SHA-1 hash: the name of its file.
        pub(super) fn name_of(hash: &str) -> Option<&'static str> {
            $(if $name.get_hash() == hash {
                return [$($file),+].last().copied();
            })+
            None
        }
    };
}

scripts! {
    COMMIT = "gate" "commit";
    PUBLISH_PENDING = "gate" "publish_pending";
    SET_GATE = "gate" "set_gate";
    CREATE_ROOM = "create_room";
    CLAIM_CODE = "claim_code";
    BEGIN_IMPORT = "begin_import";
    HOLD_IMPORT = "hold_import";
    FENCE_IMPORT = "fence_import";
    WRITE_IMPORT = "write_import";
    FINISH_IMPORT = "finish_import";
    END_IMPORT = "end_import";
    REPLACE_ROOM = "jobs" "replace_room";
    RELEASE_CODE = "release_code";
    ENQUEUE = "jobs" "enqueue";
    ADD_JOB_HINTS = "add_job_hints";
    DROP_JOB_HINTS = "drop_job_hints";
    TAKE_JOB = "take_job";
    JOIN = "voters" "join";
    RESTORE_VOTER = "voters" "restore_voter";
    RENAME_VOTER = "voters" "rename_voter";
    REMOVE_VOTER = "remove_voter";
    INVITE = "invite";
}
