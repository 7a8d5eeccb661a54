BEGIN TRANSACTION;
CREATE TABLE attempts (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                delivery_id TEXT NOT NULL
                    REFERENCES deliveries (id) ON DELETE CASCADE ON UPDATE CASCADE,
                attempt INTEGER NOT NULL,
                started_at REAL NOT NULL,
                ended_at REAL,
                class TEXT,
                status INTEGER,
                detail TEXT
            ) STRICT
            ;
INSERT INTO "attempts" VALUES(1,'msg_8b5716f5f48c770afb182922b6653a91',1,1732384806.0,1732384806.0,'ok',200,NULL);
INSERT INTO "attempts" VALUES(2,'msg_0d7e29b8ef6098bf890531074985066d',1,1732384808.0,1732384808.0,'connect',NULL,NULL);
INSERT INTO "attempts" VALUES(3,'msg_8a4ab68cccb368adcc5b3b9597ca0025',1,1732384810.0,1732384810.0,'connect',NULL,NULL);
CREATE TABLE bodies (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                version INTEGER,
                body TEXT NOT NULL,
                UNIQUE (job_id, version)
            ) STRICT
            ;
INSERT INTO "bodies" VALUES(1,'01935a2e-5088-7ae7-abf0-64825822cffb',2,'{"result":"completed","timestamp":1732384806000,"type":"job.completed","job":{"id":"01935a2e-5088-7ae7-abf0-64825822cffb","kind":"delivered","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":{"frames":7},"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:05.000Z","updated_at":"2024-11-23T18:00:06.000Z","finished_at":"2024-11-23T18:00:06.000Z","duration":1,"links":{"self":"/jobs/01935a2e-5088-7ae7-abf0-64825822cffb","status":"/jobs/01935a2e-5088-7ae7-abf0-64825822cffb/status","operation":"/jobs/01935a2e-5088-7ae7-abf0-64825822cffb/operation","events":"/jobs/01935a2e-5088-7ae7-abf0-64825822cffb/events"}}}');
INSERT INTO "bodies" VALUES(2,'01935a2e-5858-77c1-a5a4-a3a0f324d102',2,'{"result":"error","timestamp":1732384808000,"type":"job.error","job":{"id":"01935a2e-5858-77c1-a5a4-a3a0f324d102","kind":"dead","result":"error","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":{"code":"disk","message":"is full"},"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:07.000Z","updated_at":"2024-11-23T18:00:08.000Z","finished_at":"2024-11-23T18:00:08.000Z","duration":1,"links":{"self":"/jobs/01935a2e-5858-77c1-a5a4-a3a0f324d102","status":"/jobs/01935a2e-5858-77c1-a5a4-a3a0f324d102/status","operation":"/jobs/01935a2e-5858-77c1-a5a4-a3a0f324d102/operation","events":"/jobs/01935a2e-5858-77c1-a5a4-a3a0f324d102/events"}}}');
INSERT INTO "bodies" VALUES(3,'01935a2e-6028-7290-933c-96e4540aceea',2,'{"result":"completed","timestamp":1732384810000,"type":"job.completed","job":{"id":"01935a2e-6028-7290-933c-96e4540aceea","kind":"retried","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:09.000Z","updated_at":"2024-11-23T18:00:10.000Z","finished_at":"2024-11-23T18:00:10.000Z","duration":1,"links":{"self":"/jobs/01935a2e-6028-7290-933c-96e4540aceea","status":"/jobs/01935a2e-6028-7290-933c-96e4540aceea/status","operation":"/jobs/01935a2e-6028-7290-933c-96e4540aceea/operation","events":"/jobs/01935a2e-6028-7290-933c-96e4540aceea/events"}}}');
INSERT INTO "bodies" VALUES(4,'01935a2e-6be0-7bc2-afc5-e5602b6b2805',2,'{"result":"completed","timestamp":1732384813000,"type":"job.completed","job":{"id":"01935a2e-6be0-7bc2-afc5-e5602b6b2805","kind":"sending","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:12.000Z","updated_at":"2024-11-23T18:00:13.000Z","finished_at":"2024-11-23T18:00:13.000Z","duration":1,"links":{"self":"/jobs/01935a2e-6be0-7bc2-afc5-e5602b6b2805","status":"/jobs/01935a2e-6be0-7bc2-afc5-e5602b6b2805/status","operation":"/jobs/01935a2e-6be0-7bc2-afc5-e5602b6b2805/operation","events":"/jobs/01935a2e-6be0-7bc2-afc5-e5602b6b2805/events"}}}');
CREATE TABLE deliveries (
                id TEXT PRIMARY KEY,
                webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
                origin_id INTEGER NOT NULL,
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                version INTEGER,
                type TEXT NOT NULL,
                body_id INTEGER NOT NULL REFERENCES bodies (id) ON DELETE CASCADE,
                state TEXT NOT NULL CHECK (
                    state IN ('pending', 'sending', 'delivered', 'superseded', 'dead')
                ),
                attempts INTEGER NOT NULL DEFAULT 0,
                due_at REAL NOT NULL,
                created_at REAL NOT NULL,
                finished_at REAL, begun_at REAL, reason TEXT,
                CHECK ((state IN ('pending', 'sending')) = (finished_at IS NULL))
            ) STRICT
            ;
INSERT INTO "deliveries" VALUES('msg_8b5716f5f48c770afb182922b6653a91','wh_bd7a08425c05b67ed1df297ee1c21bac',1,'01935a2e-5088-7ae7-abf0-64825822cffb',2,'job.completed',1,'delivered',1,1732384806.0,1732384806.0,1732384806.0,1732384806.0,NULL);
INSERT INTO "deliveries" VALUES('msg_0d7e29b8ef6098bf890531074985066d','wh_33cda15742611b5520211241b6107e4d',1,'01935a2e-5858-77c1-a5a4-a3a0f324d102',2,'job.error',2,'dead',1,1732384808.0,1732384808.0,1732384808.0,1732384808.0,'every attempt failed');
INSERT INTO "deliveries" VALUES('msg_8a4ab68cccb368adcc5b3b9597ca0025','wh_9a0b064b28ec5dfe34f66687ed733168',1,'01935a2e-6028-7290-933c-96e4540aceea',2,'job.completed',3,'pending',1,1732388410.0,1732384810.0,NULL,1732384810.0,NULL);
INSERT INTO "deliveries" VALUES('msg_f921be99d660dd0c2ab29136cd815487','wh_f0c9f9a04a072c4004b9ce5e5c0b0a0d',1,'01935a2e-6be0-7bc2-afc5-e5602b6b2805',2,'job.completed',4,'sending',1,1732384813.0,1732384813.0,NULL,1732384813.0,NULL);
CREATE TABLE events (
                job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
                version INTEGER NOT NULL,
                at REAL NOT NULL,
                result TEXT NOT NULL,
                progress REAL,
                message TEXT,
                PRIMARY KEY (job_id, version)
            ) STRICT, WITHOUT ROWID
            ;
INSERT INTO "events" VALUES('01935a2e-3d00-714b-8938-b83dd9a64a89',1,1732384800.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-40e8-7b5d-8c77-4403307e6568',1,1732384801.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-40e8-7b5d-8c77-4403307e6568',2,1732384802.0,'pending',0.5,'half');
INSERT INTO "events" VALUES('01935a2e-48b8-7d0a-b8e5-abba84b5de57',1,1732384803.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-4ca0-7a2b-98b8-1cf30c074b3b',1,1732384804.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5088-7ae7-abf0-64825822cffb',1,1732384805.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5088-7ae7-abf0-64825822cffb',2,1732384806.0,'completed',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5858-77c1-a5a4-a3a0f324d102',1,1732384807.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5858-77c1-a5a4-a3a0f324d102',2,1732384808.0,'error',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6028-7290-933c-96e4540aceea',1,1732384809.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6028-7290-933c-96e4540aceea',2,1732384810.0,'completed',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-71a4-97cc-86f2a2204207',1,1732384811.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-71a4-97cc-86f2a2204207',2,1732384811.0,'error',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-76d8-a839-e1d4fd6bfa2c',1,1732384811.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6be0-7bc2-afc5-e5602b6b2805',1,1732384812.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6be0-7bc2-afc5-e5602b6b2805',2,1732384813.0,'completed',NULL,NULL);
CREATE TABLE jobs (
                id TEXT PRIMARY KEY,
                kind TEXT NOT NULL,
                result TEXT NOT NULL CHECK (result IN ('pending', 'completed', 'error')),
                version INTEGER NOT NULL CHECK (version >= 1),
                progress REAL CHECK (progress BETWEEN 0 AND 1),
                message TEXT,
                eta_at REAL,
                error_code TEXT,
                error_message TEXT,
                metadata TEXT,
                deadline REAL,
                heartbeat REAL,
                heard_at REAL,
                simulated_delay REAL,
                simulated_result TEXT,
                step_at REAL,
                idempotency_key TEXT UNIQUE,
                idempotency_hash TEXT,
                created_at REAL NOT NULL,
                updated_at REAL NOT NULL,
                finished_at REAL,
                due_at REAL GENERATED ALWAYS AS (
                    CASE WHEN result = 'pending' THEN NULLIF(MIN(
                        COALESCE(created_at + deadline, 1e99),
                        COALESCE(heard_at + heartbeat, 1e99),
                        COALESCE(step_at, 1e99)
                    ), 1e99) END
                ) STORED, output TEXT CHECK (output IS NULL OR result <> 'pending'),
                CHECK ((result = 'pending') = (finished_at IS NULL)),
                CHECK ((result = 'error') = (error_code IS NOT NULL))
            ) STRICT
            ;
INSERT INTO "jobs" VALUES('01935a2e-3d00-714b-8938-b83dd9a64a89','demo','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,15.0,'completed',1732384801.5,NULL,NULL,1732384800.0,1732384800.0,NULL,NULL);
INSERT INTO "jobs" VALUES('01935a2e-40e8-7b5d-8c77-4403307e6568','waiting','pending',2,0.5,'half',1732384862.0,NULL,NULL,'{"a":[1,"ü"]}',NULL,600.0,1732384802.0,NULL,NULL,NULL,NULL,NULL,1732384801.0,1732384802.0,NULL,NULL);
INSERT INTO "jobs" VALUES('01935a2e-48b8-7d0a-b8e5-abba84b5de57','limited','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,3600.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384803.0,1732384803.0,NULL,NULL);
INSERT INTO "jobs" VALUES('01935a2e-4ca0-7a2b-98b8-1cf30c074b3b','simulated','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,600.0,'error',1732384864.0,NULL,NULL,1732384804.0,1732384804.0,NULL,NULL);
INSERT INTO "jobs" VALUES('01935a2e-5088-7ae7-abf0-64825822cffb','delivered','completed',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384806.0,NULL,NULL,NULL,NULL,NULL,1732384805.0,1732384806.0,1732384806.0,'{"frames":7}');
INSERT INTO "jobs" VALUES('01935a2e-5858-77c1-a5a4-a3a0f324d102','dead','error',2,NULL,NULL,NULL,'disk','is full',NULL,NULL,NULL,1732384808.0,NULL,NULL,NULL,NULL,NULL,1732384807.0,1732384808.0,1732384808.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-6028-7290-933c-96e4540aceea','retried','completed',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384810.0,NULL,NULL,NULL,NULL,NULL,1732384809.0,1732384810.0,1732384810.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-67f8-71a4-97cc-86f2a2204207','cancelled','error',2,NULL,NULL,NULL,'cancelled',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384811.0,1732384811.0,1732384811.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-67f8-76d8-a839-e1d4fd6bfa2c','keyed','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'key','hash',1732384811.0,1732384811.0,NULL,NULL);
INSERT INTO "jobs" VALUES('01935a2e-6be0-7bc2-afc5-e5602b6b2805','sending','completed',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384813.0,NULL,NULL,NULL,NULL,NULL,1732384812.0,1732384813.0,1732384813.0,NULL);
CREATE TABLE old_secrets (
                webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
                secret TEXT NOT NULL,
                until REAL NOT NULL,
                PRIMARY KEY (webhook_id, secret)
            ) STRICT, WITHOUT ROWID
            ;
INSERT INTO "old_secrets" VALUES('wh_012fd36fc4d67422ec0912fc255b4914','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1732471211.0);
CREATE TABLE origins (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                origin TEXT NOT NULL UNIQUE,
                paused_until REAL NOT NULL DEFAULT 0,
                failures INTEGER NOT NULL DEFAULT 0,
                served_at REAL NOT NULL DEFAULT 0,
                lease TEXT,
                leased_until REAL NOT NULL DEFAULT 0
            , slots INTEGER NOT NULL DEFAULT 16, round INTEGER NOT NULL DEFAULT 0, down_since REAL) STRICT
            ;
INSERT INTO "origins" VALUES(1,'https://receiver.example:443',0.0,2,1732384813.0,'node',1732384873.0,4,2,1732384808.0);
CREATE TABLE schema_version (version INTEGER NOT NULL, compatible INTEGER NOT NULL);
INSERT INTO "schema_version" VALUES(3,3);
CREATE TABLE webhooks (
                id TEXT PRIMARY KEY,
                origin_id INTEGER NOT NULL REFERENCES origins (id),
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                kind TEXT,
                url TEXT NOT NULL,
                events TEXT NOT NULL,
                name TEXT,
                secret TEXT NOT NULL,
                enabled INTEGER NOT NULL DEFAULT 1,
                reason TEXT,
                failing_since REAL,
                created_at REAL NOT NULL,
                finished_at REAL,
                removed_at REAL, failing_days INTEGER NOT NULL DEFAULT 0, failed_on INTEGER, given_up INTEGER NOT NULL DEFAULT 0,
                CHECK (job_id IS NULL OR kind IS NULL)
            ) STRICT
            ;
INSERT INTO "webhooks" VALUES('wh_bd7a08425c05b67ed1df297ee1c21bac',1,'01935a2e-5088-7ae7-abf0-64825822cffb',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,NULL,1732384805.0,1732384806.0,NULL,0,NULL,0);
INSERT INTO "webhooks" VALUES('wh_33cda15742611b5520211241b6107e4d',1,'01935a2e-5858-77c1-a5a4-a3a0f324d102',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,1732384808.0,1732384807.0,1732384808.0,NULL,1,20050,0);
INSERT INTO "webhooks" VALUES('wh_9a0b064b28ec5dfe34f66687ed733168',1,'01935a2e-6028-7290-933c-96e4540aceea',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,1732384810.0,1732384809.0,1732384810.0,NULL,1,20050,0);
INSERT INTO "webhooks" VALUES('wh_6bc6d89fd869f9a2ba6f5ffb853caa2b',1,'01935a2e-67f8-71a4-97cc-86f2a2204207',NULL,'https://receiver.example/hook','job.completed job.error',NULL,'whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,NULL,1732384811.0,1732384811.0,1732384811.0,0,NULL,0);
INSERT INTO "webhooks" VALUES('wh_012fd36fc4d67422ec0912fc255b4914',1,NULL,'delivered','https://receiver.example/hook','job.completed job.error','kind','whsec_cI50W21d3MNyYrpVqzDE49iJls6rUvRbglEu2zbivZk=',1,NULL,NULL,1732384811.0,NULL,NULL,0,NULL,0);
INSERT INTO "webhooks" VALUES('wh_460ec90a032af81af1d1de1b4a71dddd',1,NULL,NULL,'https://receiver.example/hook','job.completed job.error','gone','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',0,'by request',NULL,1732384811.0,NULL,NULL,0,NULL,0);
INSERT INTO "webhooks" VALUES('wh_f0c9f9a04a072c4004b9ce5e5c0b0a0d',1,'01935a2e-6be0-7bc2-afc5-e5602b6b2805',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,NULL,1732384812.0,1732384813.0,NULL,0,NULL,0);
CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX jobs_finished ON jobs (finished_at) WHERE finished_at IS NOT NULL;
CREATE INDEX jobs_kind ON jobs (kind, id);
CREATE INDEX jobs_result ON jobs (result, id);
CREATE INDEX jobs_kind_result ON jobs (kind, result, id);
CREATE UNIQUE INDEX webhooks_scope
                ON webhooks (url, COALESCE(job_id, ''), COALESCE(kind, ''))
                WHERE removed_at IS NULL
            ;
CREATE INDEX webhooks_job ON webhooks (job_id) WHERE job_id IS NOT NULL;
CREATE INDEX webhooks_wide ON webhooks (kind) WHERE job_id IS NULL;
CREATE INDEX webhooks_active
                ON webhooks (id) WHERE removed_at IS NULL AND finished_at IS NULL
            ;
CREATE INDEX webhooks_origin ON webhooks (origin_id, removed_at, finished_at);
CREATE INDEX webhooks_removed ON webhooks (removed_at) WHERE removed_at IS NOT NULL;
CREATE UNIQUE INDEX deliveries_pending
                ON deliveries (webhook_id, job_id) WHERE state = 'pending'
            ;
CREATE UNIQUE INDEX deliveries_sending
                ON deliveries (webhook_id, job_id) WHERE state = 'sending'
            ;
CREATE INDEX deliveries_due
                ON deliveries (origin_id, due_at) WHERE state = 'pending'
            ;
CREATE INDEX deliveries_next ON deliveries (due_at) WHERE state = 'pending';
CREATE INDEX deliveries_busy ON deliveries (origin_id) WHERE state = 'sending';
CREATE INDEX deliveries_job ON deliveries (job_id);
CREATE INDEX deliveries_body ON deliveries (body_id);
CREATE INDEX deliveries_webhook ON deliveries (webhook_id, job_id, state)
            ;
CREATE INDEX attempts_delivery ON attempts (delivery_id);
CREATE INDEX origins_paused ON origins (paused_until);
CREATE INDEX deliveries_log ON deliveries (webhook_id, created_at, id);
CREATE INDEX deliveries_dead
                ON deliveries (webhook_id, finished_at) WHERE state = 'dead'
            ;
CREATE INDEX webhooks_listed
                ON webhooks (created_at, id) WHERE removed_at IS NULL
            ;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('origins',7);
INSERT INTO "sqlite_sequence" VALUES('bodies',4);
INSERT INTO "sqlite_sequence" VALUES('attempts',3);
COMMIT;
