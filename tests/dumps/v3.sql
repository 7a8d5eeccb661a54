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
INSERT INTO "attempts" VALUES(1,'msg_55c54a02338d9b5f55042757630bedd6',1,1732384806.0,1732384806.0,'ok',200,NULL);
INSERT INTO "attempts" VALUES(2,'msg_2e5e47c66cf4a19d658e4abb90335b61',1,1732384808.0,1732384808.0,'connect',NULL,NULL);
INSERT INTO "attempts" VALUES(3,'msg_e9a434688cd07579bc21f0b24176bcce',1,1732384810.0,1732384810.0,'connect',NULL,NULL);
CREATE TABLE bodies (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                job_id TEXT REFERENCES jobs (id) ON DELETE CASCADE,
                version INTEGER,
                body TEXT NOT NULL,
                UNIQUE (job_id, version)
            ) STRICT
            ;
INSERT INTO "bodies" VALUES(1,'01935a2e-5088-7c1b-a267-30b93512e177',2,'{"result":"completed","timestamp":1732384806000,"type":"job.completed","job":{"id":"01935a2e-5088-7c1b-a267-30b93512e177","kind":"delivered","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":{"frames":7},"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:05.000Z","updated_at":"2024-11-23T18:00:06.000Z","finished_at":"2024-11-23T18:00:06.000Z","duration":1,"links":{"self":"/jobs/01935a2e-5088-7c1b-a267-30b93512e177","status":"/jobs/01935a2e-5088-7c1b-a267-30b93512e177/status","operation":"/jobs/01935a2e-5088-7c1b-a267-30b93512e177/operation","events":"/jobs/01935a2e-5088-7c1b-a267-30b93512e177/events"}}}');
INSERT INTO "bodies" VALUES(2,'01935a2e-5858-7eb7-9f76-9a4f40c5b70e',2,'{"result":"error","timestamp":1732384808000,"type":"job.error","job":{"id":"01935a2e-5858-7eb7-9f76-9a4f40c5b70e","kind":"dead","result":"error","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":{"code":"disk","message":"is full"},"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:07.000Z","updated_at":"2024-11-23T18:00:08.000Z","finished_at":"2024-11-23T18:00:08.000Z","duration":1,"links":{"self":"/jobs/01935a2e-5858-7eb7-9f76-9a4f40c5b70e","status":"/jobs/01935a2e-5858-7eb7-9f76-9a4f40c5b70e/status","operation":"/jobs/01935a2e-5858-7eb7-9f76-9a4f40c5b70e/operation","events":"/jobs/01935a2e-5858-7eb7-9f76-9a4f40c5b70e/events"}}}');
INSERT INTO "bodies" VALUES(3,'01935a2e-6028-7bb5-8823-80cb96a5718f',2,'{"result":"completed","timestamp":1732384810000,"type":"job.completed","job":{"id":"01935a2e-6028-7bb5-8823-80cb96a5718f","kind":"retried","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:09.000Z","updated_at":"2024-11-23T18:00:10.000Z","finished_at":"2024-11-23T18:00:10.000Z","duration":1,"links":{"self":"/jobs/01935a2e-6028-7bb5-8823-80cb96a5718f","status":"/jobs/01935a2e-6028-7bb5-8823-80cb96a5718f/status","operation":"/jobs/01935a2e-6028-7bb5-8823-80cb96a5718f/operation","events":"/jobs/01935a2e-6028-7bb5-8823-80cb96a5718f/events"}}}');
INSERT INTO "bodies" VALUES(4,'01935a2e-6be0-7911-92a6-69ad2e8c78bf',2,'{"result":"completed","timestamp":1732384813000,"type":"job.completed","job":{"id":"01935a2e-6be0-7911-92a6-69ad2e8c78bf","kind":"sending","result":"completed","version":2,"progress":null,"message":null,"eta_at":null,"output":null,"error":null,"metadata":null,"deadline":null,"heartbeat":null,"simulated":false,"created_at":"2024-11-23T18:00:12.000Z","updated_at":"2024-11-23T18:00:13.000Z","finished_at":"2024-11-23T18:00:13.000Z","duration":1,"links":{"self":"/jobs/01935a2e-6be0-7911-92a6-69ad2e8c78bf","status":"/jobs/01935a2e-6be0-7911-92a6-69ad2e8c78bf/status","operation":"/jobs/01935a2e-6be0-7911-92a6-69ad2e8c78bf/operation","events":"/jobs/01935a2e-6be0-7911-92a6-69ad2e8c78bf/events"}}}');
CREATE TABLE clock (
                seen_at REAL NOT NULL,
                leap REAL NOT NULL,
                leapt_at REAL NOT NULL
            ) STRICT
            ;
INSERT INTO "clock" VALUES(1732384811.0,0.0,0.0);
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
                finished_at REAL, begun_at REAL, reason TEXT, first_begun_at REAL, probe INTEGER NOT NULL DEFAULT 0,
                CHECK ((state IN ('pending', 'sending')) = (finished_at IS NULL))
            ) STRICT
            ;
INSERT INTO "deliveries" VALUES('msg_55c54a02338d9b5f55042757630bedd6','wh_05a0faf531eea77d624ff6a8f5dd1336',1,'01935a2e-5088-7c1b-a267-30b93512e177',2,'job.completed',1,'delivered',1,1732384806.0,1732384806.0,1732384806.0,1732384806.0,NULL,1732384806.0,0);
INSERT INTO "deliveries" VALUES('msg_2e5e47c66cf4a19d658e4abb90335b61','wh_8d3e01da125d394628ca8daa915bc172',1,'01935a2e-5858-7eb7-9f76-9a4f40c5b70e',2,'job.error',2,'dead',1,1732384808.0,1732384808.0,1732384808.0,1732384808.0,'every attempt failed',1732384808.0,0);
INSERT INTO "deliveries" VALUES('msg_e9a434688cd07579bc21f0b24176bcce','wh_3b2640520773aeadc39af630b5e3755d',1,'01935a2e-6028-7bb5-8823-80cb96a5718f',2,'job.completed',3,'pending',1,1732388410.0,1732384810.0,NULL,1732384810.0,NULL,1732384810.0,0);
INSERT INTO "deliveries" VALUES('msg_17a3e0b0e83d9603c4816d7bfa7f9355','wh_5d55d4283cd2be5df1b63c51739839ad',1,'01935a2e-6be0-7911-92a6-69ad2e8c78bf',2,'job.completed',4,'sending',1,1732384813.0,1732384813.0,NULL,1732384813.0,NULL,1732384813.0,0);
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
INSERT INTO "events" VALUES('01935a2e-3d00-7eb6-9a06-94f1afcd7252',1,1732384800.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-40e8-72ca-b08a-fd44a19e7871',1,1732384801.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-40e8-72ca-b08a-fd44a19e7871',2,1732384802.0,'pending',0.5,'half');
INSERT INTO "events" VALUES('01935a2e-48b8-76b3-8033-1bd4d556c5c2',1,1732384803.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-4ca0-7e6b-831e-9e37c16bba0e',1,1732384804.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5088-7c1b-a267-30b93512e177',1,1732384805.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5088-7c1b-a267-30b93512e177',2,1732384806.0,'completed',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5858-7eb7-9f76-9a4f40c5b70e',1,1732384807.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-5858-7eb7-9f76-9a4f40c5b70e',2,1732384808.0,'error',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6028-7bb5-8823-80cb96a5718f',1,1732384809.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6028-7bb5-8823-80cb96a5718f',2,1732384810.0,'completed',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-78a4-9a63-26b0546663f4',1,1732384811.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-78a4-9a63-26b0546663f4',2,1732384811.0,'error',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-67f8-7991-a728-3a9c60660039',1,1732384811.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6be0-7911-92a6-69ad2e8c78bf',1,1732384812.0,'pending',NULL,NULL);
INSERT INTO "events" VALUES('01935a2e-6be0-7911-92a6-69ad2e8c78bf',2,1732384813.0,'completed',NULL,NULL);
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
                output TEXT CHECK (output IS NULL OR result <> 'pending'), begun_at REAL, set_aside_until REAL, due_at REAL GENERATED ALWAYS AS (
                    CASE WHEN result = 'pending' THEN NULLIF(MAX(
                        COALESCE(set_aside_until, 0),
                        MIN(
                            COALESCE(begun_at + deadline, 1e99),
                            COALESCE(heard_at + heartbeat, 1e99),
                            COALESCE(step_at, 1e99)
                        )
                    ), 1e99) END
                ) VIRTUAL,
                CHECK ((result = 'pending') = (finished_at IS NULL)),
                CHECK ((result = 'error') = (error_code IS NOT NULL))
            ) STRICT
            ;
INSERT INTO "jobs" VALUES('01935a2e-3d00-7eb6-9a06-94f1afcd7252','demo','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,15.0,'completed',1732384801.5,NULL,NULL,1732384800.0,1732384800.0,NULL,NULL,1732384800.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-40e8-72ca-b08a-fd44a19e7871','waiting','pending',2,0.5,'half',1732384862.0,NULL,NULL,'{"a":[1,"ü"]}',NULL,600.0,1732384802.0,NULL,NULL,NULL,NULL,NULL,1732384801.0,1732384802.0,NULL,NULL,1732384801.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-48b8-76b3-8033-1bd4d556c5c2','limited','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,3600.0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384803.0,1732384803.0,NULL,NULL,1732384803.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-4ca0-7e6b-831e-9e37c16bba0e','simulated','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,600.0,'error',1732384864.0,NULL,NULL,1732384804.0,1732384804.0,NULL,NULL,1732384804.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-5088-7c1b-a267-30b93512e177','delivered','completed',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384806.0,NULL,NULL,NULL,NULL,NULL,1732384805.0,1732384806.0,1732384806.0,'{"frames":7}',1732384805.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-5858-7eb7-9f76-9a4f40c5b70e','dead','error',2,NULL,NULL,NULL,'disk','is full',NULL,NULL,NULL,1732384808.0,NULL,NULL,NULL,NULL,NULL,1732384807.0,1732384808.0,1732384808.0,NULL,1732384807.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-6028-7bb5-8823-80cb96a5718f','retried','completed',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384810.0,NULL,NULL,NULL,NULL,NULL,1732384809.0,1732384810.0,1732384810.0,NULL,1732384809.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-67f8-78a4-9a63-26b0546663f4','cancelled','error',2,NULL,NULL,NULL,'cancelled',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384811.0,1732384811.0,1732384811.0,NULL,1732384811.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-67f8-7991-a728-3a9c60660039','keyed','pending',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'key','hash',1732384811.0,1732384811.0,NULL,NULL,1732384811.0,NULL);
INSERT INTO "jobs" VALUES('01935a2e-6be0-7911-92a6-69ad2e8c78bf','sending','completed',2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,1732384813.0,NULL,NULL,NULL,NULL,NULL,1732384812.0,1732384813.0,1732384813.0,NULL,1732384812.0,NULL);
CREATE TABLE old_secrets (
                webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
                secret TEXT NOT NULL,
                until REAL NOT NULL,
                PRIMARY KEY (webhook_id, secret)
            ) STRICT, WITHOUT ROWID
            ;
INSERT INTO "old_secrets" VALUES('wh_9e7033bd01bd627db50e2b8440e7c0ee','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1732471211.0);
CREATE TABLE origins (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                origin TEXT NOT NULL UNIQUE,
                paused_until REAL NOT NULL DEFAULT 0,
                failures INTEGER NOT NULL DEFAULT 0,
                lease TEXT,
                leased_until REAL NOT NULL DEFAULT 0
            , slots INTEGER NOT NULL DEFAULT 16, round INTEGER NOT NULL DEFAULT 0, down_since REAL, ready_at REAL) STRICT
            ;
INSERT INTO "origins" VALUES(1,'https://receiver.example:443',0.0,2,'node',1732384873.0,4,2,1732384808.0,1732388410.0);
CREATE TABLE schema_version (version INTEGER NOT NULL, compatible INTEGER NOT NULL);
INSERT INTO "schema_version" VALUES(3,3);
CREATE TABLE url_pauses (
                normal_url TEXT PRIMARY KEY,
                origin_id INTEGER NOT NULL REFERENCES origins (id) ON DELETE CASCADE,
                until REAL NOT NULL,
                asked INTEGER NOT NULL,
                streak INTEGER NOT NULL
            ) STRICT, WITHOUT ROWID
            ;
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
                removed_at REAL, failing_days INTEGER NOT NULL DEFAULT 0, failed_on INTEGER, given_up INTEGER NOT NULL DEFAULT 0, normal_url TEXT NOT NULL DEFAULT '',
                CHECK (job_id IS NULL OR kind IS NULL)
            ) STRICT
            ;
INSERT INTO "webhooks" VALUES('wh_05a0faf531eea77d624ff6a8f5dd1336',1,'01935a2e-5088-7c1b-a267-30b93512e177',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,NULL,1732384805.0,NULL,0,NULL,0,'https://receiver.example:443/hook');
INSERT INTO "webhooks" VALUES('wh_8d3e01da125d394628ca8daa915bc172',1,'01935a2e-5858-7eb7-9f76-9a4f40c5b70e',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,1732384808.0,1732384807.0,NULL,1,20050,0,'https://receiver.example:443/hook');
INSERT INTO "webhooks" VALUES('wh_3b2640520773aeadc39af630b5e3755d',1,'01935a2e-6028-7bb5-8823-80cb96a5718f',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,1732384810.0,1732384809.0,NULL,1,20050,0,'https://receiver.example:443/hook');
INSERT INTO "webhooks" VALUES('wh_892ce44323d40ce37ce758a47858ed77',1,'01935a2e-67f8-78a4-9a63-26b0546663f4',NULL,'https://receiver.example/hook','job.completed job.error',NULL,'whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,NULL,1732384811.0,1732384811.0,0,NULL,0,'https://receiver.example:443/hook');
INSERT INTO "webhooks" VALUES('wh_9e7033bd01bd627db50e2b8440e7c0ee',1,NULL,'delivered','https://receiver.example/hook','job.completed job.error','kind','whsec_PgQEr1cPuNK07k5Z5MlCUNTdVmfZAb9ScCrJAo3sQ7c=',1,NULL,NULL,1732384811.0,NULL,0,NULL,0,'https://receiver.example:443/hook');
INSERT INTO "webhooks" VALUES('wh_895ae3d890ae1b60fed62973875a53d4',1,NULL,NULL,'https://receiver.example/hook','job.completed job.error','gone','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',0,'by request',NULL,1732384811.0,NULL,0,NULL,0,'https://receiver.example:443/hook');
INSERT INTO "webhooks" VALUES('wh_5d55d4283cd2be5df1b63c51739839ad',1,'01935a2e-6be0-7911-92a6-69ad2e8c78bf',NULL,'https://receiver.example/hook','job.completed job.error','n','whsec_c3RhdHVzam9ic3RhdHVzam9ic3RhdHVzam9ic3RhdHU=',1,NULL,NULL,1732384812.0,NULL,0,NULL,0,'https://receiver.example:443/hook');
CREATE INDEX jobs_kind ON jobs (kind, id);
CREATE INDEX jobs_result ON jobs (result, id);
CREATE INDEX jobs_kind_result ON jobs (kind, result, id);
CREATE INDEX webhooks_job ON webhooks (job_id) WHERE job_id IS NOT NULL;
CREATE UNIQUE INDEX deliveries_pending
                ON deliveries (webhook_id, job_id) WHERE state = 'pending'
            ;
CREATE UNIQUE INDEX deliveries_sending
                ON deliveries (webhook_id, job_id) WHERE state = 'sending'
            ;
CREATE INDEX deliveries_due
                ON deliveries (origin_id, due_at) WHERE state = 'pending'
            ;
CREATE INDEX deliveries_busy ON deliveries (origin_id) WHERE state = 'sending';
CREATE INDEX deliveries_body ON deliveries (body_id);
CREATE INDEX attempts_delivery ON attempts (delivery_id);
CREATE INDEX deliveries_dead
                ON deliveries (webhook_id, finished_at) WHERE state = 'dead'
            ;
CREATE INDEX webhooks_listed
                ON webhooks (created_at, id) WHERE removed_at IS NULL
            ;
CREATE INDEX webhooks_scope
                ON webhooks (normal_url, COALESCE(job_id, ''), COALESCE(kind, ''), created_at, id)
                WHERE removed_at IS NULL
            ;
CREATE INDEX url_pauses_origin ON url_pauses (origin_id, until);
CREATE INDEX url_pauses_until ON url_pauses (until);
CREATE INDEX deliveries_probe
                ON deliveries (origin_id) WHERE state = 'pending' AND probe = 1
            ;
CREATE INDEX jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX origins_ready ON origins (ready_at, id) WHERE ready_at IS NOT NULL;
CREATE INDEX deliveries_job ON deliveries (job_id, webhook_id);
CREATE INDEX deliveries_tests ON deliveries (webhook_id, type) WHERE job_id IS NULL;
CREATE INDEX deliveries_state ON deliveries (webhook_id, state, created_at, id);
CREATE INDEX webhooks_origin ON webhooks (origin_id);
CREATE INDEX webhooks_wide
                ON webhooks (kind) WHERE job_id IS NULL AND removed_at IS NULL
            ;
CREATE INDEX webhooks_failing
                ON webhooks (failing_since) WHERE failing_since IS NOT NULL
            ;
CREATE INDEX jobs_finished ON jobs (finished_at, id) WHERE finished_at IS NOT NULL
            ;
CREATE INDEX webhooks_removed
                ON webhooks (removed_at, id) WHERE removed_at IS NOT NULL
            ;
CREATE INDEX old_secrets_until ON old_secrets (until);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('origins',7);
INSERT INTO "sqlite_sequence" VALUES('bodies',4);
INSERT INTO "sqlite_sequence" VALUES('attempts',3);
COMMIT;
