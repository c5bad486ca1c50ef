//go:build !race

// Etcdnode runs one node of an etcd cluster until it is killed, with etcd's defaults except for
// addresses, logs and what the flags say. The comparison runs it as a
// tool of its module.
//
// A node is a process of its own, as the other servers are: its memory and CPU time must not count
// as the client's, and it must be able to hang. It is never built with the race detector, which
// would take minutes and make it slow.
package main

import (
	"flag"
	"fmt"
	"net/url"
	"os"

	"go.etcd.io/etcd/server/v3/embed"
)

func main() {
	err := run()
	fmt.Fprintln(os.Stderr, "etcdnode:", err)
	os.Exit(1)
}

func run() error {
	c := embed.NewConfig()
	flag.StringVar(&c.Name, "name", "", "the node's `name`")
	flag.StringVar(&c.Dir, "dir", "", "the `directory` of its data")
	flag.BoolVar(&c.UnsafeNoFsync, "unsafe-no-fsync", false, "write without fsync")
	flag.StringVar(&c.InitialCluster, "cluster", "", "all `nodes`: name=peer URL, separated by commas")
	client := flag.String("client", "", "the `URL` for clients")
	peer := flag.String("peer", "", "the `URL` for the other nodes")
	flag.Parse()
	c.LogLevel = "fatal"
	clientURL, err := url.Parse(*client)
	if err != nil {
		return err
	}
	peerURL, err := url.Parse(*peer)
	if err != nil {
		return err
	}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*clientURL}, []url.URL{*clientURL}
	c.ListenPeerUrls, c.AdvertisePeerUrls = []url.URL{*peerURL}, []url.URL{*peerURL}
	e, err := embed.StartEtcd(c)
	if err != nil {
		return err
	}
	return <-e.Err()
}
