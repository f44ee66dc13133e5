use stun_msg::{ChannelData, Classified, Message, SendIndication, classify};

use crate::{indication::check_send, request::check_request};

/// Any datagram is classified, and read if it is a STUN message.
pub fn datagram(input: &[u8]) {
    let message = Message::parse(input);
    match classify(input) {
        Ok(Classified::Stun) => {
            if SendIndication::is_send(input) {
                check_send(input);
            }
            if let Ok(message) = message {
                check_request(&message);
            }
        }
        Ok(Classified::ChannelData(ChannelData { channel, payload })) => {
            assert!(message.is_err(), "both STUN and ChannelData");
            let data = &input[payload];
            let len = u16::try_from(data.len()).expect("a length of 16 bits");
            assert_eq!(ChannelData::header(channel, len), input[..4]);
        }
        Err(_) => assert!(message.is_err(), "read as STUN what was classified as something else"),
    }
}
