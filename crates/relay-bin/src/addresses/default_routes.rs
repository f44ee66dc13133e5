//! The network interfaces of the default routes.

/// The interfaces of default routes, sorted and without duplicates, from the texts of `/proc/net/route` (`v4`) and
/// `/proc/net/ipv6_route` (`v6`).
pub(crate) fn default_route_interfaces(v4: &str, v6: &str) -> Vec<String> {
    // Columns: interface, destination, gateway, flags, two numbers, metric, mask.
    let v4 = v4.lines().skip(1).filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        (columns.get(1) == Some(&"00000000") && columns.get(7) == Some(&"00000000")).then(|| columns[0].to_owned())
    });
    // Columns: destination, prefix length, more; the interface is last.
    let v6 = v6.lines().filter_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let is_default = columns.first().is_some_and(|address| address.bytes().all(|digit| digit == b'0'));
        (is_default && columns.get(1) == Some(&"00")).then(|| (*columns[columns.len() - 1]).to_owned())
    });
    // The kernel lists unreachable routes at lo.
    let mut names: Vec<String> = v4.chain(v6).filter(|name| name != "lo").collect();
    names.sort();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_routes_of_both_families() {
        let v4 = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
                  eth0\t00000000\t010010AC\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
                  eth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0\n";
        let zeros = "00000000000000000000000000000000";
        let v6 = format!(
            "{zeros} 00 {zeros} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth2\n\
             fe800000000000000000000000000000 40 {zeros} 00 {zeros} 00000100 00000001 00000000 00000001     eth3\n\
             {zeros} 00 {zeros} 00 {zeros} ffffffff 00000001 00000000 00200200       lo\n"
        );
        assert_eq!(default_route_interfaces(v4, &v6), ["eth0", "eth2"]);
        assert_eq!(default_route_interfaces("", ""), Vec::<String>::new());
    }
}
