//! What depends on the operating system. No other file of this crate checks which one it is (`tests/guard.rs`). Where a
//! function is best effort, a system without the feature still works.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use prometheus::core::Collector;
use socket2::{SockRef, Socket};

/// Files created with these options can be read by their owner only. Best effort.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Makes the names in a folder durable, where the system does not do so by itself.
///
/// # Errors
/// The folder cannot be read or the disk fails.
pub fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Lets a port be bound again while connections of the process before linger. Only on Unix: elsewhere the same option would
/// let two processes listen on one port.
///
/// # Errors
/// The system refuses the option.
pub fn allow_rebinding(socket: &Socket) -> std::io::Result<()> {
    if cfg!(unix) { socket.set_reuse_address(true) } else { Ok(()) }
}

/// Makes the kernel take new bytes only while it holds fewer unsent ones than `max_unsent_bytes`, and end a connection when
/// the other side does not acknowledge sent ones within `ack_timeout`. Best effort.
pub fn bound_sending(socket: &SockRef<'_>, max_unsent_bytes: u32, ack_timeout: Duration) {
    #[cfg(target_os = "linux")]
    {
        let _ = socket.set_tcp_notsent_lowat(max_unsent_bytes);
        let _ = socket.set_tcp_user_timeout(Some(ack_timeout));
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (socket, max_unsent_bytes, ack_timeout);
}

/// Resolves when this process is asked to stop, by Ctrl-C or by a service manager.
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

/// For a system without a limit. A process does not have memory for so many sockets.
const MAX_FILES: u64 = 1_000_000;

/// Raises the soft limit of open files as far as the system allows, and returns it. macOS begins at 256, and container
/// runtimes at 1,024. If the limit cannot be read, it is taken for 1,024.
pub fn open_files() -> usize {
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1_024);
    files.min(MAX_FILES) as usize
}

/// Metrics of this process: CPU, memory, open files. `None` on systems that do not provide them.
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
    fn only_its_owner_can_read_a_private_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("invites.csv");
        private(&mut OpenOptions::new()).write(true).create(true).truncate(true).open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
