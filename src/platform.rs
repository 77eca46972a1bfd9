//! What depends on the operating system. Nothing else in this crate asks which one it is (`tests/guard.rs`); where a call
//! is a wish, a system that has none of it still works.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use prometheus::core::Collector;
use socket2::{SockRef, Socket};

/// A file that is made with these options can be read by its owner alone.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Puts the names in a folder on disk, where that is not done by itself.
///
/// # Errors
/// The disk fails.
pub fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Lets a port be taken again while connections of the process before linger. Elsewhere than on Unix the same option
/// would let two processes listen on it.
///
/// # Errors
/// The system refuses.
pub fn allow_rebinding(socket: &Socket) -> std::io::Result<()> {
    if cfg!(unix) { socket.set_reuse_address(true) } else { Ok(()) }
}

/// Makes the kernel take new bytes only while it holds fewer unsent ones than this, and end a connection whose other side
/// does not confirm sent ones for so long.
pub fn bound_sending(socket: &SockRef<'_>, unsent_bytes: u32, answer_within: Duration) {
    #[cfg(target_os = "linux")]
    {
        let _ = socket.set_tcp_notsent_lowat(unsent_bytes);
        let _ = socket.set_tcp_user_timeout(Some(answer_within));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, unsent_bytes, answer_within);
}

/// Resolves when this process is asked to stop: by Ctrl-C, or as a service manager asks.
pub async fn stop_signal() {
    #[cfg(unix)]
    {
        let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
        let Ok(mut terminate) = terminate else { return };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = tokio::signal::ctrl_c().await;
}

/// Where a system knows no limit: more sockets than a process has memory for.
const MAX_FILES: u64 = 1_000_000;

/// Files that this process may have open, once the soft limit is raised as far as the system lets it: macOS begins at 256,
/// and container runtimes at 1,024. Where that cannot be asked, what every system allows.
pub fn open_files() -> usize {
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
    files.min(MAX_FILES) as usize
}

/// What this process uses: CPU, memory, open files; none where nobody can tell.
pub fn process_metrics() -> Option<Box<dyn Collector>> {
    #[cfg(target_os = "linux")]
    return Some(Box::new(prometheus::process_collector::ProcessCollector::for_self()));
    #[cfg(not(target_os = "linux"))]
    None
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::PermissionsExt;

    use super::private;

    #[test]
    fn nobody_else_can_read_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("invites.csv");
        private(&mut OpenOptions::new()).write(true).create(true).truncate(true).open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
