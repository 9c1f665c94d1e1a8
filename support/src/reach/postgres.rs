//! A PostgreSQL server, by the first message of its protocol.

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::places::HostPort;
use super::{Done, POSTGRES, Reach, Trouble};
use crate::substrate::reply::{CallError, CallErrorKind, Reply};

/// `SSLRequest`: its own length, and the code that stands where a version would.
pub(super) const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xD2, 0x16, 0x2F];

/// Whether a PostgreSQL server speaks TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// It does.
    Offered,
    /// It does not.
    Refused,
}

/// A PostgreSQL server that answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostgresServer {
    /// `host:port`, as it was asked for.
    pub address: String,
    /// Whether it speaks TLS.
    pub tls: Tls,
}

impl Reach {
    /// Asks a PostgreSQL server whether it speaks TLS, and nothing else: nobody is logged in.
    ///
    /// # Errors
    /// `Unreachable` when nothing listens, or it hangs up; `Malformed` when what answers is not PostgreSQL.
    pub fn postgres(&self, host: &str, port: u16) -> Result<Reply<PostgresServer>, CallError> {
        let address = HostPort::written(host, port);
        let call = self.call(POSTGRES, "ssl-request", &address);
        call.sent();
        let tls = call
            .within_limit(async { tokio::time::timeout(self.limit, self.offers_tls(&address)).await })?
            .unwrap_or_else(|_| {
                Err(Trouble::new(CallErrorKind::TimedOut, format!("no answer within {:?}", self.limit)))
            })
            .map_err(|trouble| trouble.of(&call))?;
        Ok(call.reply(PostgresServer { address, tls }))
    }

    async fn offers_tls(&self, address: &str) -> Done<Tls> {
        let addresses = self.places.addresses(address, None).await?;
        let broke = |error: std::io::Error| Trouble::unreachable(error.to_string());
        let mut stream = tokio::net::TcpStream::connect(addresses.as_slice()).await.map_err(broke)?;
        stream.write_all(&SSL_REQUEST).await.map_err(broke)?;
        let mut answer = [0; 1];
        if stream.read(&mut answer).await.map_err(broke)? == 0 {
            return Err(Trouble::unreachable("it closed the connection without an answer"));
        }
        match answer {
            [b'S'] => Ok(Tls::Offered),
            [b'N'] => Ok(Tls::Refused),
            [b'E'] => Err(Trouble::malformed("it answered with an error, and not whether it speaks TLS")),
            [other] => Err(Trouble::malformed(format!(
                "its answer begins with the byte 0x{other:02x}: this is not PostgreSQL"
            ))),
        }
    }
}
