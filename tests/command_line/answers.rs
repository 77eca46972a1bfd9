//! A server that gives set answers: for what a true one must never say.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Ends with the test.
pub struct Answers {
    pub url: String,
    task: JoinHandle<()>,
}

impl Drop for Answers {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers each of these paths with 200 and its body, everything else with an empty 404.
pub async fn serve(answers: &[(&str, Value)]) -> Answers {
    let whole = |(path, body): &(&str, Value)| (format!("GET {path} "), whole("200 OK", &body.to_string()));
    serve_whole(answers.iter().map(whole).collect()).await
}

/// Leads everybody on to another address.
pub async fn redirect(to: &str) -> Answers {
    let head = format!("HTTP/1.1 301 Moved Permanently\r\nLocation: {to}\r\nContent-Length: 0\r\n");
    serve_whole(vec![(String::new(), head + "Connection: close\r\n\r\n")]).await
}

fn whole(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// Answers by how a request begins.
async fn serve_whole(answers: Vec<(String, String)>) -> Answers {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("its own address"));
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = vec![0; 4096];
            // a request without a body comes in one piece
            let length = stream.read(&mut request).await.unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let found = answers.iter().find(|(begin, _)| request.starts_with(begin));
            let answer = found.map_or_else(|| whole("404 Not Found", ""), |(_, answer)| answer.clone());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    Answers { url, task }
}
