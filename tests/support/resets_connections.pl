#!/usr/bin/perl
# A hop that resets every fifth connection before it answers, for `tests/long --faulty git`. Prints its port.
# Not every third: after a reset gitferry asks with two more connections what the hop speaks, and would meet nothing but resets.
use strict;
use warnings;
use IO::Select;
use IO::Socket::INET;
use Socket;

$SIG{CHLD} = 'IGNORE';
$| = 1;
my $server = IO::Socket::INET->new(Listen => 64, LocalAddr => '127.0.0.1') or die "cannot listen: $!";
print $server->sockport, "\n";
for (my $count = 1 ; ; $count++) {
    my $client = $server->accept or next;
    if ($count % 5 == 0) {
        setsockopt $client, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
        next;
    }
    next if fork;
    close $server;
    serve($client);
    exit;
}

sub serve {
    my ($client) = @_;
    my $head = '';
    until ($head =~ /\r\n\r\n/) {
        sysread $client, $head, 4096, length $head or return;
    }
    my ($address, $rest) = $head =~ /^CONNECT (\S+) .*?\r\n\r\n(.*)/s or return;
    my $origin = IO::Socket::INET->new(PeerAddr => $address) or return;
    give($client, "HTTP/1.1 200 OK\r\n\r\n");
    give($origin, $rest);
    my %other = ($client => $origin, $origin => $client);
    my $readable = IO::Select->new($client, $origin);
    while ($readable->count) {
        for my $socket ($readable->can_read) {
            if (sysread $socket, my $bytes, 65536) {
                give($other{$socket}, $bytes) or return;
            } else {
                $readable->remove($socket);
                shutdown $other{$socket}, 1;
            }
        }
    }
}

sub give {
    my ($socket, $bytes) = @_;
    while (length $bytes) {
        my $written = syswrite $socket, $bytes or return;
        substr $bytes, 0, $written, '';
    }
    return 1;
}
