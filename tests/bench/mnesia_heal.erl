%% SPDX-License-Identifier: MIT
%% The same split and heal on Mnesia, healed as Pow's Unsplit does it: stop the loser's Mnesia, make
%% the winner its master, start it again.  Run by heal_side_by_side: main([Entries, Writes, Rounds]).
-module(mnesia_heal).
-export([main/1, create/0, join/1, fill/2, put_many/3, watch/0, healed/1, size/0, count/3, read_on/1, stop_reading/0]).

main(Args) ->
    [N, W, Rounds] = [list_to_integer(A) || A <- Args],
    Results = [once(N, W) || _ <- lists:seq(1, Rounds)],
    Name = "mnesia.heal." ++ integer_to_list(N) ++ ".",
    [figure(Name ++ What, [maps:get(Key, R) || R <- Results], Unit) || {Key, What, Unit} <-
        [{total, "total_from_reconnect", "s"}, {refused, "reads_refused", "count"},
         {gap, "longest_without_a_read_on_the_loser", "s"}, {lost, "acknowledged_writes_lost", "count"}]],
    halt(0).

figure(Name, Values, Unit) ->
    Sorted = lists:sort([V * 1.0 || V <- Values]),
    io:format("~s ~.6g ~s (~.6g..~.6g)~n",
              [Name, lists:nth(length(Sorted) div 2 + 1, Sorted), Unit, hd(Sorted), lists:last(Sorted)]).

once(N, W) ->
    [{PA, A}, {PB, B}] = [start(Name) || Name <- [one, two]],
    ok = peer:call(PA, ?MODULE, create, []),
    true = peer:call(PB, net_kernel, connect_node, [A]),
    ok = peer:call(PB, ?MODULE, join, [A], 60000),
    ok = peer:call(PA, ?MODULE, fill, [0, N], 120000),
    timer:sleep(300),
    [ok = peer:call(P, ?MODULE, watch, []) || P <- [PA, PB]],
    true = peer:call(PA, erlang, disconnect_node, [B]),
    wait(fun() -> [] =:= peer:call(PA, erlang, nodes, []) andalso [] =:= peer:call(PB, erlang, nodes, []) end),
    timer:sleep(100),
    [begin
         ok = peer:call(P, ?MODULE, put_many, [Base, W, Value], 60000),
         ok = peer:call(P, ?MODULE, put_many, [0, 100, Value], 60000)
     end || {P, Base, Value} <- [{PA, 20000000, <<"A">>}, {PB, 30000000, <<"B">>}]],
    [ok = peer:call(P, ?MODULE, read_on, [N]) || P <- [PA, PB]],
    timer:sleep(100),
    T = now_s(),
    true = peer:call(PA, net_kernel, connect_node, [B]),
    wait(fun() -> peer:call(PB, ?MODULE, healed, [N + W]) andalso peer:call(PA, ?MODULE, healed, [N + W]) end),
    Total = now_s() - T,
    timer:sleep(300),
    Reads = [peer:call(P, ?MODULE, stop_reading, []) || P <- [PA, PB]],
    Lost = 2 * (W + 100) - lists:sum([peer:call(PB, ?MODULE, count, [From, Many, Value], 60000)
        || {From, Many, Value} <- [{20000000, W, <<"A">>}, {30000000, W, <<"B">>}, {0, 100, <<"A">>}, {0, 100, <<"B">>}]]),
    [peer:stop(P) || P <- [PA, PB]],
    #{total => Total, refused => lists:sum([R || {R, _} <- Reads]), gap => lists:max([G || {_, G} <- Reads]), lost => Lost}.

start(Name) ->
    {ok, P, Node} = peer:start_link(#{name => atom_to_list(Name) ++ os:getpid(), host => "127.0.0.1", longnames => true,
        connection => standard_io, args => ["-pa", filename:dirname(code:which(?MODULE)), "-kernel", "dist_auto_connect", "never",
            "-kernel", "prevent_overlapping_partitions", "false",
            "-mnesia", "dir", "\"" ++ os:getenv("MNESIA_HOME") ++ "/" ++ atom_to_list(Name) ++ integer_to_list(erlang:unique_integer([positive])) ++ "\""]}),
    {P, Node}.

wait(Condition) -> wait(Condition, now_s() + 120).
wait(Condition, End) ->
    case Condition() of
        true -> ok;
        false -> true = now_s() < End, timer:sleep(1), wait(Condition, End)
    end.
now_s() -> erlang:monotonic_time(nanosecond) / 1.0e9.

%% ---- on the peers

key(I) -> list_to_binary(io_lib:format("~32..0b", [I])).
create() ->
    ok = mnesia:create_schema([node()]), ok = mnesia:start(),
    {atomic, ok} = mnesia:create_table(t, [{disc_copies, [node()]}, {type, ordered_set}]), ok.
join(Other) ->
    ok = mnesia:start(), {ok, _} = mnesia:change_config(extra_db_nodes, [Other]),
    {atomic, ok} = mnesia:change_table_copy_type(schema, node(), disc_copies),
    {atomic, ok} = mnesia:add_table_copy(t, node(), disc_copies), ok.
fill(From, To) when From >= To -> ok;
fill(From, To) ->
    Next = min(From + 1000, To), Value = binary:copy(<<"x">>, 256),
    {atomic, _} = mnesia:sync_transaction(fun() -> [mnesia:write({t, key(I), Value}) || I <- lists:seq(From, Next - 1)] end),
    fill(Next, To).
put_many(From, Many, Mark) ->
    Value = binary:copy(Mark, 256),
    [{atomic, ok} = mnesia:sync_transaction(fun() -> mnesia:write({t, key(I), Value}) end) || I <- lists:seq(From, From + Many - 1)], ok.
count(From, Many, Mark) ->
    Value = binary:copy(Mark, 256),
    length([1 || I <- lists:seq(From, From + Many - 1), [{t, _, V}] <- [mnesia:dirty_read(t, key(I))], V =:= Value]).
size() -> mnesia:table_info(t, size).
healed(Entries) ->
    try length(mnesia:system_info(running_db_nodes)) =:= 2 andalso mnesia:table_info(t, where_to_read) =/= nowhere
            andalso size() >= Entries
    catch _:_ -> false end.

%% Pow.Store.Backend.MnesiaCache.Unsplit: the oldest is the last of the copies.
watch() ->
    Self = self(),
    P = spawn(fun() -> {ok, _} = mnesia:subscribe(system), Self ! {self(), ready}, watching() end),
    receive {P, ready} -> ok end.
watching() ->
    receive
        {mnesia_system_event, {inconsistent_database, _, N}} -> global:trans({unsplit, self()}, fun() -> heal(N) end), watching();
        _ -> watching()
    end.
heal(N) ->
    case lists:member(N, mnesia:system_info(running_db_nodes)) of
        true -> already;
        false ->
            Oldest = lists:last(mnesia:table_info(t, disc_copies)),
            {Winner, Loser} = case Oldest =:= node() of true -> {node(), N}; false -> {N, node()} end,
            stopped = rpc:call(Loser, mnesia, stop, []), ok = rpc:call(Loser, mnesia, set_master_nodes, [t, [Winner]]),
            ok = rpc:block_call(Loser, mnesia, start, []), ok = rpc:call(Loser, mnesia, wait_for_tables, [[t], 60000])
    end.

read_on(N) -> P = spawn(fun() -> reading(N, 100, 0, now_s(), 0) end), true = register(reader, P), ok.
reading(N, I, Refused, LastGood, Gap) ->
    receive {stop, From} -> From ! {reads, {Refused, Gap}}
    after 0 ->
        Good = try mnesia:dirty_read(t, key(I)) of [_] -> true; _ -> false catch _:_ -> false end,
        Now = now_s(),
        timer:sleep(1),
        case Good of
            true -> reading(N, 100 + (I - 99) rem (N - 100), Refused, Now, max(Gap, Now - LastGood));
            false -> reading(N, I, Refused + 1, LastGood, Gap)
        end
    end.
stop_reading() -> reader ! {stop, self()}, receive {reads, R} -> R end.
