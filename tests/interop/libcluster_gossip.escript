#!/usr/bin/env escript
%% SPDX-License-Identifier: MIT
%%
%% A node as libcluster's gossip is one, by Erlang's own gen_udp, terms and crypto: sends heartbeats of several names in
%% every encoding that Erlang reads, and prints each name that it hears as `heard NAME`, until it is killed.
%% Usage: libcluster_gossip.escript PORT [SECRET].  Prints `no crypto` and ends where that is not installed.

-mode(compile).

-define(GROUP, {233, 252, 1, 32}).
-define(LO, {127, 0, 0, 1}).

main([Port]) -> run(list_to_integer(Port), none);
main([Port, Secret]) ->
    case application:start(crypto) of
        ok -> run(list_to_integer(Port), crypto:hash(sha256, Secret));
        _ -> io:format("no crypto~n")
    end.

run(Port, Key) ->
    {ok, Socket} = gen_udp:open(Port, [binary, {active, true}, {reuseaddr, true}, {ip, {0, 0, 0, 0}},
                                       {multicast_ttl, 1}, {multicast_loop, true}, {multicast_if, ?LO},
                                       {add_membership, {?GROUP, ?LO}}]),
    loop(Socket, Port, Key, [check(Term) || Term <- heartbeats()], [], erlang:monotonic_time(millisecond)).

loop(Socket, Port, Key, Heartbeats, Heard, Due) ->
    Now = erlang:monotonic_time(millisecond),
    Next = if Now >= Due ->
                   [ok = gen_udp:send(Socket, ?GROUP, Port, seal(Key, <<"heartbeat::", Term/binary>>))
                    || Term <- Heartbeats],
                   Now + 100;
              true -> Due
           end,
    receive
        {udp, Socket, _, _, Packet} ->
            Name = read(open(Key, Packet)),
            case lists:member(Name, [none | Heard]) of
                true -> loop(Socket, Port, Key, Heartbeats, Heard, Next);
                false ->
                    io:format("heard ~s~n", [Name]),
                    loop(Socket, Port, Key, Heartbeats, [Name | Heard], Next)
            end
    after max(0, Next - erlang:monotonic_time(millisecond)) ->
            loop(Socket, Port, Key, Heartbeats, Heard, Next)
    end.

heartbeats() ->
    Plain = fun(Name) -> list_to_atom(Name ++ "@127.0.0.1") end,
    Many = #{node => Plain("many_keys"), pid => self(), ref => make_ref(), port => hd(erlang:ports()),
             function => fun(X) -> {X, self()} end, export => fun lists:map/2, float => 1.5, <<"bin">> => <<1:3>>,
             1 => -70000000000, 2 => 1 bsl 2100, 3 => "string", 4 => [a, 1000 | tail], 5 => [],
             {tuple, x} => #{nested => #{}}, big_tuple => list_to_tuple(lists:duplicate(256, [])), 6.5 => [{a, b}, <<>>]},
    [term_to_binary(#{node => Plain("erlang")}), term_to_binary(Many), term_to_binary(Many, [{minor_version, 0}])]
        ++ [tagged(Tag, atom_to_binary(Plain("tag_" ++ integer_to_list(Tag)))) || Tag <- [100, 115, 118, 119]].

tagged(Tag, Name) ->
    Atom = fun(Text) when Tag =:= 115; Tag =:= 119 -> <<Tag, (byte_size(Text)), Text/binary>>;
              (Text) -> <<Tag, (byte_size(Text)):16, Text/binary>>
           end,
    <<131, 116, 1:32, (Atom(<<"node">>))/binary, (Atom(Name))/binary>>.

%% Only what Erlang itself reads is sent.
check(Term) ->
    #{node := Name} = binary_to_term(Term),
    true = is_atom(Name),
    Term.

seal(none, Plain) -> Plain;
seal(Key, Plain) ->
    IV = crypto:strong_rand_bytes(16),
    Count = 16 - byte_size(Plain) rem 16,
    Padded = <<Plain/binary, (binary:copy(<<Count>>, Count))/binary>>,
    <<IV/binary, (crypto:crypto_one_time(aes_256_cbc, Key, IV, Padded, true))/binary>>.

open(none, Packet) -> Packet;
open(Key, <<IV:16/binary, Sealed/binary>>) when byte_size(Sealed) rem 16 =:= 0, byte_size(Sealed) > 0 ->
    Padded = crypto:crypto_one_time(aes_256_cbc, Key, IV, Sealed, false),
    case binary:last(Padded) of
        Count when Count >= 1, Count =< 16 -> binary:part(Padded, 0, byte_size(Padded) - Count);
        _ -> <<>>
    end;
open(_, _) -> <<>>.

read(<<"heartbeat::", Term/binary>>) ->
    case catch binary_to_term(Term) of
        #{node := Name} when is_atom(Name) -> atom_to_list(Name);
        _ -> none
    end;
read(_) -> none.
