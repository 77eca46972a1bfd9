//! How many complete frames the session's codec holds and has not decoded yet.

/// Counts the frames by the way in which `actix_web_actors` reads a stream. In each turn of a session it does this:
///
/// 1. It polls the stream again and again until the answer is `Pending` or the end, and buffers what it gets.
/// 2. It decodes one frame of its buffer, if that holds a complete one.
///
/// So as long as the buffer holds complete frames, the stream must answer `Pending` at once, and then holds one frame
/// less. If the stream went on to read instead, the buffer would grow by a read with every frame that is decoded.
#[derive(Debug, Default)]
pub struct CodecBacklog(usize);

impl CodecBacklog {
    /// Frames that are complete with the bytes that the codec gets now.
    pub fn add(&mut self, frames: usize) {
        self.0 += frames;
    }

    /// Call it when the codec polls. True: answer `Pending`, and the codec decodes a frame that it holds. False: it holds
    /// none, so it can get more bytes.
    pub fn decodes_a_frame(&mut self) -> bool {
        let decodes = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        decodes
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_gets_bytes_again_when_it_has_decoded_every_frame() {
        let mut backlog = CodecBacklog::default();
        assert!(!backlog.decodes_a_frame(), "it holds none at first");
        backlog.add(2);
        assert!(backlog.decodes_a_frame() && backlog.decodes_a_frame());
        assert!(!backlog.decodes_a_frame() && backlog.is_empty());
    }
}
