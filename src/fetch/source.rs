//! Where bytes come from, as far as downloading needs to know.

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};

use crate::{
    error::UserError,
    net::{ByteRange, Client, NetError, Response},
};

/// Something that has artifacts at URLs.
pub trait Source: Send + Sync {
    /// Starts to read the artifact from byte `from` on. A source that cannot begin there begins at
    /// 0 and says so ([`Body::offset`]).
    fn open<'a>(
        &'a self,
        url: &'a str,
        from: u64,
    ) -> BoxFuture<'a, Result<Box<dyn Body>, SourceError>>;
}

/// An artifact on its way.
pub trait Body: Send {
    /// Offset of the first byte that comes.
    fn offset(&self) -> u64;
    /// Size of the whole artifact, when told.
    fn total(&self) -> Option<u64>;
    /// The next bytes; `None` at the end.
    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, SourceError>>;
}

/// A source could not answer.
#[derive(Debug)]
pub struct SourceError {
    /// What it said. Names the address without credentials.
    pub error: Box<dyn UserError>,
    /// The same question may be answered a little later.
    pub may_pass: bool,
    /// The range asked for is not there (HTTP status 416).
    pub no_such_range: bool,
}

impl From<NetError> for SourceError {
    fn from(error: NetError) -> Self {
        Self {
            may_pass: error.may_pass(),
            no_such_range: error.status() == Some(416),
            error: Box::new(error),
        }
    }
}

impl Source for Client {
    fn open<'a>(
        &'a self,
        url: &'a str,
        from: u64,
    ) -> BoxFuture<'a, Result<Box<dyn Body>, SourceError>> {
        async move {
            let mut request = self.get(url);
            if from > 0 {
                request = request.range(ByteRange::From(from));
            }
            let response = request.send().await?;
            Ok(Box::new(response) as Box<dyn Body>)
        }
        .boxed()
    }
}

impl Body for Response {
    fn offset(&self) -> u64 {
        self.content_range().map_or(0, |range| range.first)
    }

    fn total(&self) -> Option<u64> {
        match self.content_range() {
            Some(range) => range.total,
            None => self.content_length(),
        }
    }

    fn chunk(&mut self) -> BoxFuture<'_, Result<Option<Bytes>, SourceError>> {
        async move { Ok(Response::chunk(self).await?) }.boxed()
    }
}
