//! Hands letters to mail servers.

use engine::outside::{Letter, MailSecurity, NoReply};
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{
    Certificate, CertificateStore, Tls, TlsParameters, TlsParametersBuilder,
};
use lettre::{Address, SmtpTransport, Transport};
use std::error::Error;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(10);

/// Speaks SMTP. Trusts the certificates that it was made with, and no others.
#[derive(Debug)]
pub(crate) struct Mailer {
    /// DER.
    trusted: Vec<Vec<u8>>,
}

impl Mailer {
    pub(crate) fn trusting(trusted: Vec<Vec<u8>>) -> Mailer {
        Mailer { trusted }
    }

    /// Hands one letter over.
    pub(crate) fn send(&self, letter: &Letter) -> Result<(), NoReply> {
        let host = &letter.server.host;
        let failed = |error: &dyn Error| NoReply(format!("{host} took no letter: {error}"));
        let message = message(letter).map_err(|error| failed(&*error))?;
        let tls = self.tls(letter).map_err(|error| failed(&error))?;
        let mut server = SmtpTransport::builder_dangerous(host)
            .port(letter.server.port)
            .tls(tls)
            .timeout(Some(WAIT));
        if let (Some(user), Some(password)) = (&letter.server.user, &letter.password) {
            let password = password.as_str().to_owned();
            server = server.credentials(Credentials::new(user.clone(), password));
        }
        server.build().send(&message).map(drop).map_err(|error| failed(&error))
    }

    /// Whatever is spoken in the clear is spoken to this machine: the policy takes nothing else.
    fn tls(&self, letter: &Letter) -> Result<Tls, lettre::transport::smtp::Error> {
        Ok(match letter.server.security {
            MailSecurity::Loopback => Tls::None,
            MailSecurity::Tls => Tls::Wrapper(self.parameters(letter)?),
            MailSecurity::StartTls => Tls::Required(self.parameters(letter)?),
        })
    }

    fn parameters(&self, letter: &Letter) -> Result<TlsParameters, lettre::transport::smtp::Error> {
        let mut parameters = TlsParametersBuilder::new(letter.server.host.clone())
            .certificate_store(CertificateStore::None);
        for der in &self.trusted {
            parameters = parameters.add_root_certificate(Certificate::from_der(der.clone())?);
        }
        parameters.build_rustls()
    }
}

fn message(letter: &Letter) -> Result<Message, Box<dyn Error>> {
    let mailbox =
        |address: &str| Ok::<_, Box<dyn Error>>(Mailbox::new(None, address.parse::<Address>()?));
    Ok(Message::builder()
        .from(mailbox(&letter.from)?)
        .to(mailbox(&letter.to)?)
        .message_id(Some(format!("<{}>", letter.id)))
        .subject(letter.subject.clone())
        .header(ContentType::TEXT_PLAIN)
        .body(letter.text.clone())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_there_is_said_without_the_password() {
        let letter = Letter {
            server: "smtp://user@127.0.0.1:1".parse().unwrap(),
            password: Some("hunter2 hunter2".to_owned().into()),
            from: "a@b.example".to_owned(),
            to: "c@b.example".to_owned(),
            id: "1.x@clerestory".to_owned(),
            subject: "s".to_owned(),
            text: "t".to_owned(),
        };
        let error = Mailer::trusting(Vec::new()).send(&letter).unwrap_err();
        assert!(error.0.starts_with("127.0.0.1 took no letter"), "{error}");
        assert!(!error.0.contains("hunter2"), "{error}");
        let text = String::from_utf8(message(&letter).unwrap().formatted()).unwrap();
        assert!(text.contains("Message-ID: <1.x@clerestory>") && text.contains("\r\n\r\nt"));
    }
}
